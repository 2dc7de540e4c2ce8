"""What a label that is saved is called in the store. Runs in MONAI Label's environment; see also test_server.py."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

pytestmark = [
    pytest.mark.label,
    pytest.mark.skipif(find_spec("monailabel") is None, reason="needs the environment of MONAI Label (extra 'label')"),
]


@pytest.fixture
def store(tmp_path):
    """A store that is never asked for anything."""
    from monailabel.interfaces.app import DICOMwebClientX

    from pipelines.label.store import RadiologyStore
    from tests.running import bundle_of

    client = DICOMwebClientX(url="http://127.0.0.1:9/dicom-web")
    return RadiologyStore(client, ["CR", "CT"], [bundle_of("lungs"), bundle_of("abdomen")], str(tmp_path))


def test_labels_of_a_model_have_its_segments(store):
    segments, algorithm = store._described({"model": "lungs"})
    assert [segment["label"] for segment in segments] == ["lungs"]
    assert (algorithm.name, algorithm.type) == ("Lungs on chest radiographs", "AUTOMATIC")


def test_labels_of_a_person_are_named_by_their_values_in_order(store):
    segments, algorithm = store._described({"label_info": [{"name": "Spleen"}, {"name": "liver"}]})
    assert [segment["label"] for segment in segments] == ["spleen", "liver"] and algorithm.type == "SEMIAUTOMATIC"


@pytest.mark.parametrize("info", [{}, {"label_info": [{"name": "heart"}]}, {"label_info": [{}]}])
def test_labels_that_no_bundle_knows_are_refused_with_the_names_to_give(store, info):
    with pytest.raises(ValueError, match="of: lungs, liver, spleen, left kidney, right kidney, bowel"):
        store._described(info)
