"""What DICOM objects take over from the image that they refer to, and what they leave behind."""

from __future__ import annotations

import importlib
import logging
import re
import sys
import warnings

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from pipelines.dicom.algorithm import Algorithm
from pipelines.dicom.report import write_report
from pipelines.dicom.rtstruct import write_rtstruct
from pipelines.dicom.segmentation import write_segmentation
from pipelines.dicom.source import IDENTITY, IMAGE, LOSSY, MAY_BE_EMPTY, code, read_source, uid_of
from tests.pipelines.dicom.conftest import ALGORITHM, COLUMNS, ROWS, segments_of
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


# What is said of the patient and the study ---------------------------------------------------------------------------

TEXT = {"LO": 64, "LT": 200, "SH": 16, "ST": 200, "UC": 200, "UT": 200, "PN": 64, "UR": 100, "AE": 16, "CS": 16}
NAMED = {"PatientName": "Doe^Jane", "PatientID": "ID-4711", "AccessionNumber": "A1", "StudyID": "7"}
STAFF_AND_TEXT = {  # of those that the order of PS3.15 Table E.1-1 has for the patient and the study
    *("ReferringPhysicianName", "ConsultingPhysicianName", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy"),
    *("StudyDescription", "PatientComments", "AdditionalPatientHistory", "Occupation", "OtherPatientNames"),
    *("MedicalAlerts", "Allergies", "AdmittingDiagnosesDescription", "RequestingService", "ReasonForVisit"),
    *("ClinicalTrialSponsorName", "ClinicalTrialProtocolName", "ClinicalTrialSiteName", "PatientState"),
}


def full_of_text(path):
    """Give an image every attribute of the standard that holds a text or a name, each with its own, also in items."""
    header = pydicom.dcmread(path)
    marked = {}
    for number, (tag, (kind, _, _, retired, keyword)) in enumerate(pydicom.datadict.DicomDictionary.items()):
        known = keyword in header or keyword in IDENTITY or keyword in IMAGE or tag >> 16 in (0x0000, 0x0002, 0x0004)
        if kind in TEXT and not retired and keyword and not known and keyword not in LEFT_ALONE:
            marked[keyword] = f"TXT{number}X"
            setattr(header, keyword, marked[keyword])
    item = Dataset()
    item.CodeMeaning, item.PersonName = "TXTMEANINGX", "TXTPERSONX"
    for keyword in ("ReferringPhysicianIdentificationSequence", "ProcedureCodeSequence", "OtherPatientIDsSequence"):
        setattr(header, keyword, [item])
    header.private_block(0x0011, "TXTMAKERX", create=True).add_new(0x01, "LT", "TXTPRIVATEX")
    for keyword, value in NAMED.items():
        setattr(header, keyword, value)
    header.PatientAge, header.PatientWeight, header.PregnancyStatus = "042Y", 73.25, 4
    header.save_as(path)
    return marked


# texts that say how the rest is stored, or which pixels are there
LEFT_ALONE = {
    "SpecificCharacterSet",
    "TimezoneOffsetFromUTC",
    "ImageType",
    "PhotometricInterpretation",
    "LUTExplanation",
}


def written(kind, sources, path, **settings):
    """A DICOM object of each kind; the images as it refers to them."""
    algorithm, segments = ALGORITHM, segments_of("abdomen")
    if kind == "report":
        finding = segments_of("pneumonia")[0]
        write_report([(0.5, (1, 2, 3, 4))], sources[0], finding, path, algorithm, **settings)
    elif kind == "radiograph":
        write_segmentation(np.zeros((COLUMNS, ROWS), np.uint8), sources[:1], segments[:1], path, algorithm, **settings)
    else:
        write = write_segmentation if kind == "ct" else write_rtstruct
        write(np.zeros((COLUMNS, ROWS, len(sources)), np.uint8), sources, segments, path, algorithm, **settings)
    return pydicom.dcmread(path)


@pytest.fixture
def sources(radiograph):
    """Slices that are full of text, with the texts by keyword."""
    placed = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "FrameOfReferenceUID": "1.2.3.4", "SliceThickness": 2}
    placed |= {"SOPClassUID": CTImageStorage, "Modality": "CT", "PatientBirthDate": "19500101", "StudyDate": "20200131"}
    paths = [radiograph(name=f"{z}.dcm", ImagePositionPatient=[0, 0, 2 * z], **placed) for z in range(3)]
    texts = [full_of_text(path) for path in paths]
    return paths, texts[0]


@pytest.mark.parametrize("kind", ["ct", "radiograph", "rtstruct", "report"])
def test_free_text_stays_behind_unless_it_is_asked_for(sources, tmp_path, kind):
    paths, texts = sources
    assert len(texts) > 800 and set(texts) > STAFF_AND_TEXT
    raw = tmp_path / "out.dcm"
    header = written(kind, paths, raw)
    assert not re.findall(rb"TXT\w+X", raw.read_bytes())
    assert not {"PatientAge", "PatientWeight", "PregnancyStatus"} & set(header.dir())
    for keyword, value in {**NAMED, "PatientBirthDate": "19500101", "StudyDate": "20200131"}.items():
        assert header[keyword].value == value
    assert header.StudyInstanceUID == "1.2.3.1" and header.ReferringPhysicianName == ""
    kept = written(kind, paths, tmp_path / "kept.dcm", keep_free_text=True)
    for keyword in STAFF_AND_TEXT - {"OtherPatientNames"}:
        assert kept[keyword].value == texts[keyword], keyword
    assert b"TXTPRIVATEX" not in (tmp_path / "kept.dcm").read_bytes()


@pytest.mark.parametrize("name", ["Secretname", "SECRET, Jane", "Secret name\nof two lines"])
@pytest.mark.parametrize("kind", ["ct", "radiograph", "rtstruct", "report"])
def test_nothing_is_said_of_the_patient(sources, tmp_path, kind, name, capfd, caplog):
    """Not where a library finds the name odd either."""
    caplog.set_level(logging.DEBUG)
    paths, _ = sources
    for path in paths:
        header = pydicom.dcmread(path)
        header.PatientName = name
        header.save_as(path)
    caplog.clear()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        written(kind, paths, tmp_path / "out.dcm")
    told = [str(warning.message) for warning in said] + [caplog.text, *capfd.readouterr()]
    assert "secret" not in " ".join(told).lower()


def test_what_is_kept_is_listed(sources):
    """And is all that highdicom or a structure set need."""
    header = read_source(sources[0][0])
    assert {element.keyword for element in header} <= {*IDENTITY, *IMAGE, *LOSSY, *MAY_BE_EMPTY, "SpecificCharacterSet"}


@pytest.mark.parametrize("kind", ["ct", "radiograph", "rtstruct", "report"])
def test_an_object_made_again_has_the_same_uids(sources, tmp_path, kind):
    """So an archive has it once. What is made of another image has others."""
    paths, _ = sources
    first, again = (written(kind, paths, tmp_path / name) for name in ("first.dcm", "again.dcm"))
    assert (first.SOPInstanceUID, first.SeriesInstanceUID) == (again.SOPInstanceUID, again.SeriesInstanceUID)
    assert first.SOPInstanceUID != first.SeriesInstanceUID
    header = pydicom.dcmread(paths[0])
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    header.save_as(paths[0])
    other = written(kind, paths, tmp_path / "other.dcm")
    assert other.SOPInstanceUID != first.SOPInstanceUID and other.SeriesInstanceUID != first.SeriesInstanceUID


def test_uids_go_by_all_that_an_object_is_made_of(sources):
    header, mask = read_source(sources[0][0]), np.array([[0, 1], [1, 0]], np.uint8)
    model, person = Algorithm("a", "1", "f" * 64), Algorithm("a", "1", "f" * 64, type="SEMIAUTOMATIC")
    made = [
        uid_of("a mask", model, [header], mask),
        uid_of("a series", model, [header], mask),
        uid_of("a mask", Algorithm("a", "1", "e" * 64), [header], mask),
        uid_of("a mask", model, [header], 1 - mask),
        uid_of("a mask", model, [header], mask.reshape(1, 4)),
        uid_of("a mask", model, [header], mask, strict=True),
        *(uid_of("a mask", person, [header], mask) for _ in range(2)),  # drawn twice, it is two
    ]
    assert len(set(made)) == len(made) and all(len(uid) <= 64 and uid.is_valid for uid in made)
