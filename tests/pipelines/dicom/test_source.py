"""What DICOM objects take over from the image that they refer to, and what they leave behind."""

from __future__ import annotations

import importlib
import sys

import pydicom
import pytest
from pydicom.uid import CTImageStorage

from pipelines.dicom.source import code, read_source
from transforms import DataError


def test_pixels_and_makers_stay_behind_and_what_must_be_there_is(radiograph):
    path = radiograph(Manufacturer="Maker X", SpecimenDescriptionSequence=[])
    written = path.read_bytes()
    header = read_source(path)
    assert (header.PatientID, header.StudyInstanceUID, header.SeriesInstanceUID) == ("ID-4711", "1.2.3.1", "1.2.3.2")
    assert not {"PixelData", "Manufacturer", "SpecimenDescriptionSequence"} & set(header.dir())
    for tag in ("PatientBirthDate", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"):
        assert tag in header and not header[tag].value  # empty, as type 2 may be
    assert path.read_bytes() == written


@pytest.mark.parametrize(("sex", "kept"), [("F", "F"), ("M", "M"), ("O", "O"), ("?", None), ("female", None)])
def test_only_the_sexes_that_the_standard_knows_are_passed_on(radiograph, sex, kept):
    assert read_source(radiograph(PatientSex=sex)).PatientSex == kept


def test_a_frame_of_reference_is_kept_where_the_image_has_a_place_in_it(radiograph):
    assert "FrameOfReferenceUID" not in read_source(radiograph(FrameOfReferenceUID="1.2.5"))
    placed = {"SOPClassUID": CTImageStorage, "ImagePositionPatient": [0, 0, 0]}
    assert read_source(radiograph(FrameOfReferenceUID="1.2.5", **placed)).FrameOfReferenceUID == "1.2.5"


def test_loss_that_is_not_described_is_said_to_be_unknown(radiograph):
    header = read_source(radiograph(LossyImageCompression="01"))
    assert header.LossyImageCompressionRatio is header.LossyImageCompressionMethod is None
    assert "LossyImageCompressionRatio" not in read_source(radiograph(LossyImageCompression="00"))


@pytest.mark.parametrize("tag", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_an_image_without_identity_is_refused(radiograph, tag):
    with pytest.raises(DataError, match=rf"image.dcm: lacks {tag}, which a DICOM object must refer to"):
        read_source(radiograph(**{tag: ""}))


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(200)])
def test_what_is_no_dicom_is_refused(tmp_path, content):
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match="image.png: not a DICOM file"):
        read_source(path)
    with pytest.raises(DataError, match="gone.dcm: no such file"):
        read_source(tmp_path / "gone.dcm")


def test_codes_are_those_of_the_standard():
    lung = code(["39607008", "SCT", "Lung structure"])
    assert (lung.CodeValue, lung.CodingSchemeDesignator, lung.CodeMeaning) == ("39607008", "SCT", "Lung structure")
    assert lung == pydicom.sr.codedict.codes.SCT.Lung  # another wording of it is the same


@pytest.mark.parametrize("module", ["segmentation", "report", "rtstruct"])
def test_where_highdicom_is_missing_it_is_said_how_to_get_it(monkeypatch, module):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    for name in ("source", module):
        monkeypatch.delitem(sys.modules, f"pipelines.dicom.{name}", raising=False)
    with pytest.raises(DataError, match="pip install 'highdicom"):
        importlib.import_module(f"pipelines.dicom.{module}")
