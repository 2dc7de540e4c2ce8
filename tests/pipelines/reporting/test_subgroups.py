"""Groups of cases: from headers, the manifest and the size of the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.reporting.subgroups import age_band, by_group, describe, sizes
from tests.conftest import write_radiograph


@pytest.mark.parametrize(
    ("age", "band"),
    [
        ("045Y", "40 to 64"),
        ("017Y", "under 18"),
        ("018Y", "18 to 39"),
        ("065Y", "65 and over"),
        ("006M", "under 18"),
        ("300M", "18 to 39"),
        ("010D", "under 18"),
        ("999Y", None),
        ("51", "40 to 64"),
        ("0451", None),
        ("45X", None),
        ("old", None),
        ("", None),
        (None, None),
    ],
)
def test_bands_of_ages(age, band):
    assert age_band(age) == band


def test_what_headers_and_manifest_say(tmp_path):
    pixels = np.zeros((4, 3), np.uint8)
    write_radiograph(tmp_path, pixels, "a.dcm", PatientSex="F", PatientAge="070Y", ViewPosition="AP")
    write_radiograph(tmp_path, pixels, "b.dcm", PatientSex="M")
    (tmp_path / "c.png").write_bytes(b"")
    entries = [{"image": f"{name}", "class": "x"} for name in ("a.dcm", "b.dcm", "c.png")]
    table = describe(entries, tmp_path)
    assert table["class"].tolist() == ["x"] * 3
    assert table["sex"].tolist()[:2] == ["F", "M"] and pd.isna(table["sex"][2])
    assert table["age"][0] == "65 and over" and table["view"][0] == "AP"
    assert "class" not in describe([{"image": "c.png"}], tmp_path)


def test_thirds_by_size():
    found = sizes(pd.Series([0, 10, 500, 20, 40, 30, 900]))
    assert found.isna().tolist() == [True] + [False] * 6
    assert found[1:].tolist() == [
        "smallest third",
        "largest third",
        "smallest third",
        "middle third",
        "middle third",
        "largest third",
    ]
    assert sizes(pd.Series([0, 5, 5])).isna().all()


def test_means_by_group():
    groups = pd.DataFrame({"sex": ["F", "M", "F", np.nan], "age": ["65 and over", "18 to 39", "18 to 39", np.nan]})
    found = by_group(pd.Series([0.2, 0.4, np.nan, 0.9]), pd.Series([1, 2, 3, 4]), groups)
    assert [(name, value, interval.mean, interval.cases) for name, value, interval in found] == [
        ("sex", "F", 0.2, 1),
        ("sex", "M", 0.4, 1),
        ("sex", "not known", 0.9, 1),
        ("age", "18 to 39", 0.4, 1),
        ("age", "65 and over", 0.2, 1),
        ("age", "not known", 0.9, 1),
    ]
