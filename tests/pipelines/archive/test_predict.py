"""Predicting from a real archive, Orthanc, and into it."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest

from pipelines.__main__ import main
from pipelines.archive import service
from pipelines.archive.predict import ArchivePrediction
from tests.pipelines.archive.conftest import PASSWORD, USER
from tests.pipelines.label.serving import free_port
from tests.running import bundle_of
from transforms import DataError

ALL = "StudyDate=20260101-20260131"


def predict(archive, out, *more, query=ALL, bundle="lungs"):
    url = getattr(archive, "web", archive)
    return main(["predict", bundle, "--input", url, "--query", query, "--output", str(out), "--no-overlays", *more])


def summary(out):
    return json.loads((out / "summary.json").read_text())


def masks(folder):
    return {
        str(d.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID): d.pixel_array
        for d in map(pydicom.dcmread, sorted(folder.rglob("*_seg.dcm")))
    }


def test_results_come_back_into_the_study_as_a_folder_would_give_them(orthanc, radiographs, tmp_path, caplog):
    archive = orthanc()
    archive.put(*radiographs)
    out = tmp_path / "out"
    assert predict(archive, out, "--store", archive.web) == 0
    folder = ["predict", "lungs", "--input", str(radiographs[0].parent), "--output", str(tmp_path / "of_folder")]
    assert main([*folder, "--format", "seg", "--no-overlays"]) == 0
    expected = masks(tmp_path / "of_folder")
    stored = archive.datasets("SEG")
    images = {d.SOPInstanceUID: d for d in map(pydicom.dcmread, radiographs)}
    assert len(stored) == len(expected) == 3 and any(mask.any() for mask in expected.values())
    for segmentation in stored:
        uid = segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID
        assert np.array_equal(segmentation.pixel_array, expected[uid])
        assert segmentation.StudyInstanceUID == images[uid].StudyInstanceUID
        assert segmentation.SeriesInstanceUID != images[uid].SeriesInstanceUID
        assert segmentation.PatientID == images[uid].PatientID
    assert not list(out.rglob("r?.dcm")) and not (out / ".series").exists()  # no image stays on the disk

    # the same command again; the same elsewhere, where nothing is known of the first
    before = {d.SOPInstanceUID: (d.ContentDate, d.ContentTime) for d in stored}
    assert predict(archive, out, "--store", archive.web) == 0
    assert summary(out)["done_before"] == 3
    assert predict(archive, tmp_path / "other", "--store", archive.web) == 0
    assert summary(tmp_path / "other")["done_before"] == 0 and summary(tmp_path / "other")["of_other_modalities"] == 3
    assert {d.SOPInstanceUID: (d.ContentDate, d.ContentTime) for d in archive.datasets("SEG")} == before
    assert "P0" not in caplog.text and "P0" not in (out / "predictions.jsonl").read_text()


def test_what_was_predicted_before_is_only_stored(orthanc, radiographs, tmp_path):
    archive, store = orthanc(), orthanc()
    archive.put(*radiographs)
    out = tmp_path / "out"
    assert predict(archive, out, "--format", "seg") == 0
    assert store.datasets() == [] and len(masks(out)) == 3
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*_seg.dcm")}
    store.stop()
    service_waits, service.WAITS = service.WAITS, ()
    try:
        assert predict(archive, out, "--store", store.web) == 2  # which keeps what is done
    finally:
        service.WAITS = service_waits
    again = orthanc()
    assert predict(archive, out, "--store", again.web) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*_seg.dcm")} == written
    assert len(again.datasets("SEG")) == 3 and summary(out)["done_before"] == 3


def test_one_bad_series_does_not_stop_the_others(orthanc, radiographs, tmp_path, write_dicom):
    archive = orthanc()
    archive.put(*radiographs[:2])
    flat = write_dicom(
        np.full((60, 80), 7, np.uint8), StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4", StudyDate="20260102"
    )
    archive.put(flat)
    assert predict(archive, tmp_path / "out", "--store", archive.web) == 1
    found = summary(tmp_path / "out")
    (failed,) = found["failed"]
    assert failed["case"] == "1.2.3/1.2.4" and "shown alike" in failed["error"] and len(found["done"]) == 2
    assert len(archive.datasets("SEG")) == 2


def test_a_series_from_the_side_is_left_out_and_not_fetched_again(orthanc, radiographs, tmp_path, write_dicom, capfd):
    archive = orthanc()
    archive.put(radiographs[0])
    uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4", "StudyDate": "20260102"}
    pixels = np.arange(4800, dtype=np.uint8).reshape(60, 80) % 251
    archive.put(write_dicom(pixels, ViewPosition="LL", SOPInstanceUID="1.2.5", **uids))
    for before in (0, 1):
        assert predict(archive, tmp_path / "out", "--store", archive.web) == 0
        found = summary(tmp_path / "out")
        (left_out,) = found["left_out"]
        assert left_out["case"] == "1.2.3/1.2.4" and "from the side" in left_out["reason"]
        assert found["failed"] == [] and found["cases"] == 2 and found["done_before"] == before
        (done,) = found["done"]
        assert done["frontal"] is False  # a few shadows drawn by hand
    assert len(archive.datasets("SEG")) == 1
    assert capfd.readouterr()[0].count("1 of them may not be frontal chest radiographs") == 2
    assert predict(archive, tmp_path / "none", query="StudyInstanceUID=1.2.3") == 2
    assert "--query: finds no series with an image that lungs takes" in capfd.readouterr()[0]

    # the archive corrects the tag; the image keeps its UID
    for name in archive.good("GET", "/instances").json():
        if archive.good("GET", f"/instances/{name}/simplified-tags").json()["SOPInstanceUID"] == "1.2.5":
            archive.good("DELETE", f"/instances/{name}")
    archive.put(write_dicom(pixels, ViewPosition="PA", SOPInstanceUID="1.2.5", **uids))
    stored = ("--store", archive.web)
    assert predict(archive, tmp_path / "out", *stored) == 0 and summary(tmp_path / "out")["left_out"]
    assert predict(archive, tmp_path / "out", *stored, "--retry") == 0 and not summary(tmp_path / "out")["left_out"]
    assert len(summary(tmp_path / "out")["done"]) == 2


def test_logins_are_used_and_shown_nowhere(orthanc, radiographs, tmp_path, monkeypatch, capfd):
    archive = orthanc(login=True)
    archive.put(radiographs[0])
    out = tmp_path / "out"
    assert predict(archive, out) == 2
    said = capfd.readouterr().err
    assert f"error: {archive.web}: does not let this program in (HTTP 401). Set RADBUNDLES_INPUT_TOKEN, or" in said
    monkeypatch.setenv("RADBUNDLES_INPUT_USER", USER)
    monkeypatch.setenv("RADBUNDLES_INPUT_PASSWORD", PASSWORD)
    assert predict(archive, out, "--store", archive.web.replace("//", f"//{USER}:{PASSWORD}@")) == 0
    assert len(archive.datasets("SEG")) == 1
    said = capfd.readouterr()
    written = "".join(path.read_text() for path in (out / "summary.json", out / "predictions.jsonl"))
    assert PASSWORD not in said.out + said.err + written and archive.web in written


def test_what_cannot_be_is_said_in_one_message(orthanc, radiographs, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(service, "WAITS", (0.0, 0.0))
    archive = orthanc()
    archive.put(radiographs[0])
    nobody = f"http://127.0.0.1:{free_port()}/dicom-web"
    for url, query, message in (
        (nobody, ALL, f"{nobody}: cannot be reached (ConnectionError, 3 tries). Start the service"),
        (archive.web, "PatientID=nobody", "no series of CR or"),
        (archive.web, "Patient=1", "--query Patient: is no attribute of DICOM"),
        (f"{archive.url}/nothing", ALL, "HTTP 404). Give the root of a DICOMweb service"),
        (f"{archive.web}?token=secret", ALL, "the URL of the service is none of DICOMweb"),
    ):
        assert predict(url, tmp_path / "out", query=query) == 2
        said = capfd.readouterr()
        assert message in said.err and "Traceback" not in said.err and "secret" not in said.err
    assert main(["predict", "lungs", "--input", archive.web, "--output", str(tmp_path / "out")]) == 2
    assert "--query: an archive may hold very much" in capfd.readouterr().err
    folder = ["predict", "lungs", "--input", str(tmp_path), "--output", str(tmp_path / "out"), "--store", archive.web]
    assert main(folder) == 2 and "--store is for series of an archive" in capfd.readouterr().err


@pytest.mark.parametrize(
    "settings", [{"hide_names": True}, {"submission": "a.csv"}, {"format": "png", "store": "http://a"}]
)
def test_what_makes_no_sense_with_an_archive_is_refused(tmp_path, settings):
    with pytest.raises(DataError, match="leave"):
        ArchivePrediction(bundle_of("lungs"), "http://localhost/dicom-web", {"PatientID": "1"}, tmp_path, **settings)
