"""The benchmark of reading: its files are what their rows say, and its table."""

from __future__ import annotations

import re

import numpy as np
import pydicom
import pytest
from pydicom import uid

from pipelines.timing import reading
from tests.running import bundle_of


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in {"ROUNDS": 3, "WARM_UP": 1, "SIDE": 96, "LARGE": (90, 120)}.items():
        monkeypatch.setattr(reading, name, value)


def test_table_of_a_row_for_each_kind_of_file(capsys):
    reading.reading(bundle_of("lungs"))
    first, second, head, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith("medians of 3 rounds") and "pydicom" in second and head.split()[-1] == "ratio"
    found = [re.fullmatch(r"(.+?) +([\d.]+) +([\d.]+) +([\d.]+)", row).groups() for row in rows]
    assert [name.split(",")[0] for name, *_ in found] == [
        "JPEG DICOM",
        "uncompressed DICOM",
        "JPEG 2000 DICOM",
        "PNG",
    ]
    assert all(float(number) > 0 for _, *numbers in found for number in numbers)


def test_files_are_of_their_kind_and_hold_one_phantom(tmp_path):
    files = list(reading.draw_files(tmp_path).values())
    syntaxes = [pydicom.dcmread(path).file_meta.TransferSyntaxUID for path in files[:3]]
    assert syntaxes == [uid.JPEGBaseline8Bit, uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless]
    jpeg, raw, jpeg_2000, png = (reading.bare(path) for path in files)
    np.testing.assert_array_equal(raw, jpeg_2000)
    assert raw.dtype == np.uint16 and 255 < raw.max() < 4096 and png.shape == (90, 120)
    assert np.corrcoef(jpeg.ravel(), raw.ravel())[0, 1] > 0.99
