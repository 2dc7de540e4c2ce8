from __future__ import annotations

import numpy as np
import pytest

from pipelines.archive.work import SeriesWork
from pipelines.prediction.predict import Prediction
from tests.running import bundle_of


@pytest.fixture
def work(tmp_path):
    (tmp_path / "in").mkdir()
    return SeriesWork(Prediction(bundle_of("lungs"), tmp_path / "in", tmp_path / "out", format="seg", pictures=False))


def test_of_a_series_the_good_images_are_done_and_the_others_named(work, radiographs, write_dicom):
    folder = work.input / "one"
    folder.mkdir()
    radiographs[0].rename(folder / "good.dcm")
    write_dicom(np.full((60, 80), 7, np.uint8)).rename(folder / "flat.dcm")
    (folder / "notes.dcm").write_text("no image")
    record = work.write(work.compute([work.read(folder)])[0])
    assert record["status"] == "failed" and record["error"].startswith("flat.dcm: ")
    assert sorted(record["outputs"]) == ["one/good_check.json", "one/good_seg.dcm"]
    assert (work.output / "one" / "good_seg.dcm").is_file()
    assert record["left_out"][0].startswith("notes.dcm: not a DICOM file")


def test_a_series_without_images_says_why(work):
    folder = work.input / "two"
    folder.mkdir()
    assert work.write(work.read(folder))["error"] == "the series is empty"
    (folder / "notes.dcm").write_text("no image")
    assert work.write(work.read(folder))["error"].startswith("notes.dcm: not a DICOM file")
