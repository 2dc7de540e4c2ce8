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


def test_a_series_of_another_kind_is_no_fault(work, radiographs, write_dicom):
    """A study of the chest has a radiograph from the side as often as not, and often in a series of its own."""
    folder = work.input / "side"
    folder.mkdir()
    pixels = np.arange(4800, dtype=np.uint8).reshape(60, 80) % 251
    write_dicom(pixels, ViewPosition="LL").rename(folder / "side.dcm")
    record = work.write(work.compute([work.read(folder)])[0])
    assert record["status"] == "done" and record["outputs"] == {} and record["images"] == {}
    (reason,) = record["left_out"]
    assert reason.startswith("side.dcm: it is from the side by its ViewPosition (0018,5101)")
    work.records.append("side", "x", record)
    assert work.records.done("side", "x") == {**work.records.last["side"]}  # nothing is left to do

    (folder / "cut.dcm").write_bytes(radiographs[0].read_bytes()[:700])  # of which nobody knows what it is
    assert work.write(work.read(folder))["status"] == "failed"
