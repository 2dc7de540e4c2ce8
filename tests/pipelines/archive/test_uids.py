from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from pipelines.archive.uids import uid_in
from transforms import DataError


@pytest.mark.parametrize("value", ["1.2.840.10008", "0", "1.02.3", "9" * 64])
def test_uids_are_given_back(value):
    dataset = Dataset.from_json({"0020000E": {"vr": "UI", "Value": [value]}})
    assert uid_in(dataset, "SeriesInstanceUID") == value


@pytest.mark.parametrize("value", ["", ".", "..", "../1.2", "1.2/3", "1.2\\3", "/etc", "1..2", "9" * 65, "\u0661"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_could_be_a_path_is_refused(value):
    dataset = Dataset.from_json({"0020000E": {"vr": "UI", "Value": [value]}})
    with pytest.raises(DataError, match="SeriesInstanceUID is .* which is no UID"):
        uid_in(dataset, "SeriesInstanceUID")
