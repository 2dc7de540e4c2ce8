"""What is found in a tree of mixed files, and why the rest is left out."""

from __future__ import annotations

import os
import re
import shutil

import nibabel
import numpy as np
import pydicom
import pytest
from monai.transforms import LoadImage
from PIL import Image
from pydicom.sr.codedict import codes
from pydicom.uid import DeflatedExplicitVRLittleEndian

from pipelines.phantoms.cohort import IN_FILE_FORMAT
from transforms import CTReader, DataError, HeldRadiograph, RadiographReader, find_image, find_images, index_images
from transforms.readers import index as index_module

VIEWS = codes.cid4010  # DX View


def test_radiographs_are_found_by_content_and_the_rest_is_explained(write_dicom, tmp_path, caplog):
    pixels = np.zeros((4, 6), np.uint8)
    kept = [write_dicom(pixels, name=name) for name in ("in/b.dcm", "in/deep/1.2.3")]
    write_dicom(pixels, name="in/ct.dcm", Modality="CT")
    write_dicom(pixels, name="in/cine.dcm", NumberOfFrames=2)
    write_dicom(pixels, name="in/unspaced.dcm", PixelSpacing=None)
    (tmp_path / "in" / "page.dcm").write_text("<html>" * 100)
    assert find_images(tmp_path / "in", RadiographReader()) == [{"image": str(path)} for path in sorted(kept)]
    assert "left out 4 files" in caplog.text
    assert "ct.dcm: its Modality (0008,0060) is CT" in caplog.text
    assert "page.dcm: not a DICOM file" in caplog.text
    assert "cine.dcm: has 2 frames" in caplog.text
    assert "unspaced.dcm: no pixel spacing" in caplog.text
    assert len(find_images(tmp_path / "in", RadiographReader("pixels"))) == 3


def test_folder_without_radiographs_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        find_images(tmp_path / "gone", RadiographReader())
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(DataError, match="none of its 1 files is a radiograph that can be used; note.txt: not a DICOM"):
        find_images(tmp_path, RadiographReader())


def test_outputs_of_an_earlier_run_and_second_images_of_a_name_are_no_inputs(write_dicom, tmp_path, caplog):
    pixels = np.zeros((4, 6), np.uint8)
    kept = write_dicom(pixels, name="in/a.dcm")
    for name in ("in/a.png", "in/out/a_mask.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    found = find_images(tmp_path / "in", RadiographReader("pixels"), tmp_path / "in" / "out")
    assert found == [{"image": str(kept)}]
    assert f"a.png: its outputs would be named as those of {kept}" in caplog.text


def test_names_that_differ_in_case_alone_are_one_where_the_file_system_takes_them_for_one(
    write_dicom, tmp_path, monkeypatch
):
    for name in ("in/a.dcm", "in/A.dcm", "in/Sub/b.dcm"):
        write_dicom(np.arange(24, dtype=np.uint8).reshape(4, 6), name=name)
    for have_case, cases in ((True, ["A.dcm", "b.dcm", "a.dcm"]), (False, ["A.dcm", "b.dcm"])):
        monkeypatch.setattr(index_module, "NAMES_HAVE_CASE", have_case)
        index = index_images(tmp_path / "in", RadiographReader())
        assert [case.path.name for case in index.cases] == cases
        assert len(index.left_out) == 3 - len(cases)


def test_one_image_is_found_by_its_path(write_dicom, ct_cohort, tmp_path):
    path = write_dicom(np.arange(24, dtype=np.uint8).reshape(4, 6), name="in/a.dcm")
    assert find_image(path, RadiographReader()).image == str(path)
    patients = sorted((ct_cohort / "train_images").iterdir())
    series = next(patients[0].iterdir())
    assert find_image(series, CTReader()).image == str(series)
    both = tmp_path / "both"
    both.mkdir()
    for number, patient in enumerate(patients[:2]):
        for file in next(patient.iterdir()).iterdir():
            shutil.copy(file, both / f"{number}-{file.name}")
    with pytest.raises(DataError, match="both: holds 2 series. Give the folder of one"):
        find_image(both, CTReader())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds no file"):
        find_image(tmp_path / "empty", CTReader())


def test_index_says_why_a_series_is_left_out(tmp_path, ct_cohort):
    alone = next(sorted((ct_cohort / "train_images").iterdir())[0].iterdir())
    files = CTReader().open(alone).files
    (tmp_path / "gap").mkdir()
    for file in files[:5] + files[6:]:
        shutil.copy(file, tmp_path / "gap")
    index = index_images(tmp_path, CTReader())
    assert not index.cases and {reason.split(" (")[0] for _, reason in index.left_out} == {"slices are missing"}
    shutil.copytree(alone, tmp_path / "whole")  # the slices of both folders together are the series, each once
    (case,) = index_images(tmp_path, CTReader()).cases
    assert [file.name for file in case.files] == [file.name for file in files]


def test_index_of_radiographs_keeps_unknown_spacing_to_the_reader(write_dicom):
    path = write_dicom(np.zeros((4, 6), np.uint8), PixelSpacing=None)
    assert "no pixel spacing" in index_images(path.parent, RadiographReader()).left_out[0][1]
    assert [case.path for case in index_images(path.parent, RadiographReader("pixels")).cases] == [path]


def test_ct_are_found_as_folders_and_as_files_and_the_rest_is_explained(ct_cohort, tmp_path, caplog):
    series = [next(patient.iterdir()) for patient in sorted((ct_cohort / "train_images").iterdir())[:3]]
    shutil.copytree(series[0], tmp_path / "alone")
    for number, folder in enumerate(series[1:]):  # two series in one folder
        for file in folder.iterdir():
            (tmp_path / "mixed").mkdir(exist_ok=True)
            shutil.copy(file, tmp_path / "mixed" / f"{number}_{file.name}")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("no CT")
    affine = np.diag([-1.5, -1.5, 3.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), affine), tmp_path / "volume.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), affine), tmp_path / "mask.nii.gz")
    found = [entry["image"] for entry in find_images(tmp_path, CTReader())]
    assert [image for image in found if isinstance(image, str)] == [
        str(tmp_path / "alone"),
        str(tmp_path / "volume.nii.gz"),
    ]
    lists = [image for image in found if not isinstance(image, str)]
    assert sorted(map(len, lists)) == sorted(len(list(folder.iterdir())) for folder in series[1:])
    for image in lists:  # MONAI loads what was listed
        volume = LoadImage(reader=CTReader(), image_only=True)(image)
        assert volume.shape == (48, 48, len(image))
    assert "may be a segmentation" in caplog.text and "notes.txt: not a DICOM file" in caplog.text
    with pytest.raises(DataError, match="none of its 1 files is a CT that can be used; notes.txt"):
        find_images(tmp_path / "notes", CTReader())
    with pytest.raises(DataError, match="no such folder"):
        find_images(tmp_path / "missing", CTReader())


@pytest.fixture
def odd_tree(write_dicom, tmp_path):
    """A radiograph in a folder whose name, as its own, is Latin-1; and what must not be opened or inflated."""
    folder = tmp_path / "in" / os.fsdecode(b"r\xf6ntgen")
    folder.mkdir(parents=True)
    whole = write_dicom(np.arange(24, dtype=np.uint8).reshape(4, 6))
    shutil.copy(whole, folder / os.fsdecode(b"caf\xe9.dcm"))
    os.mkfifo(tmp_path / "in" / "pipe.dcm")
    os.mkfifo(tmp_path / "in" / "pipe.nii.gz")
    (tmp_path / "in" / "broken.dcm").symlink_to(tmp_path / "gone")
    (tmp_path / "in" / "zero.dcm").symlink_to("/dev/zero")
    dataset = pydicom.dcmread(whole)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "in" / "deflated.dcm", **IN_FILE_FORMAT)
    deflated = tmp_path / "in" / "deflated.dcm"
    end = 132 + 12 + pydicom.dcmread(deflated).file_meta.FileMetaInformationGroupLength
    deflated.write_bytes(deflated.read_bytes()[:end] + b"what would not inflate")
    write_dicom(np.zeros((1, 1), np.uint8), name="in/huge.dcm", Rows=20_000, Columns=20_000)
    return tmp_path / "in"


def test_names_that_are_no_text_and_what_is_no_file_end_no_index(odd_tree, caplog):
    index = index_images(odd_tree, RadiographReader())
    (case,) = index.cases
    assert os.fsencode(case.path) == os.fsencode(odd_tree) + b"/r\xf6ntgen/caf\xe9.dcm"
    assert RadiographReader().get_data(case.path)[0].shape == (6, 4)
    reasons = {path.name: reason for path, reason in index.left_out}
    assert reasons["pipe.dcm"].startswith("is no regular file but a pipe") and "a pipe" in reasons["pipe.nii.gz"]
    assert reasons["zero.dcm"].startswith("is no regular file but a device")
    assert reasons["broken.dcm"] == "a link that leads nowhere"
    assert "is deflated" in reasons["deflated.dcm"] and "dcmconv" in reasons["deflated.dcm"]
    assert "has 20000 x 20000 pixels, 400 megapixels" in reasons["huge.dcm"]
    assert {path.name for path, _ in index_images(odd_tree, CTReader()).left_out} >= set(reasons) - {"huge.dcm"}
    index.log_left_out()
    assert "left out 6 files" in caplog.text


@pytest.mark.parametrize(
    "tag", [b"\x08\0\x60\0CS", b"\x20\0\x0e\0UI", b"\x08\0\x18\0UI"], ids=["Modality", "series", "SOP"]
)
def test_a_header_that_cannot_be_used_leaves_out_its_file_alone(write_slice, write_dicom, tmp_path, tag):
    """A value representation that there is not: pydicom tells when the value is asked for."""
    (tmp_path / "ct").mkdir()
    for number in range(4):
        write_slice(number, folder="ct/a")
    damaged = [write_slice(5, folder="ct/b"), write_dicom(np.eye(9, dtype=np.uint8), "cr/b.dcm", SeriesInstanceUID="1")]
    for path in damaged:
        path.write_bytes(path.read_bytes().replace(tag, tag[:4] + b"UA"))
    write_dicom(np.eye(9, dtype=np.uint8), "cr/a.dcm")
    found = index_images(tmp_path / "ct", CTReader())
    assert [case.path for case in found.cases] == [tmp_path / "ct" / "a"]
    assert [path for path, why in found.left_out if "Unknown Value Representation" in why] == damaged[:1]
    found = index_images(tmp_path / "cr", RadiographReader())
    assert tmp_path / "cr" / "a.dcm" in [case.path for case in found.cases]


def view_code(value):
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, "SCT" if value.isdigit() else "SRT"
    return [item]


FRONTAL = [
    {},
    *({"ViewPosition": term} for term in ("AP", "PA", "pa", "", "LLD", "RLD", "ERECT")),  # on the side, and still AP
    *({"ViewCodeSequence": view_code(code.value)} for code in (VIEWS.AnteroPosterior, VIEWS.PosteroAnterior)),
    {"ViewCodeSequence": [], "PatientOrientation": ["L", "F"]},
    {"PatientOrientation": ["F", "R"]},
    {"PatientOrientation": ""},
    {"ViewPosition": "PA", "PatientOrientation": ["A", "F"]},  # the first that tells counts
    {"ViewCodeSequence": view_code("272479007"), "PatientOrientation": ["A", "F"]},
]
OTHERS = [
    *({"ViewPosition": term} for term in ("LL", "RL", "ll", "LATERAL", "LAT ")),
    *({"ViewCodeSequence": view_code(code.value)} for code in (VIEWS.LateralProjection, VIEWS.LeftLateral)),
    {"ViewCodeSequence": view_code("R-10232"), "PatientOrientation": ["L", "F"]},  # right lateral, as before SNOMED CT
    *({"PatientOrientation": axes} for axes in (["A", "F"], ["P", "F"], ["AF", "FP"], ["F", "A"])),
    {"ViewPosition": "LL", "ViewCodeSequence": view_code("272479007")},
    *({"ViewPosition": term} for term in ("LLO", "RLO", "LAO", "OBLIQUE")),
    *({"ViewCodeSequence": view_code(code.value)} for code in (VIEWS.ObliqueProjection, VIEWS.LeftAnteriorOblique)),
]


@pytest.mark.parametrize("tags", FRONTAL)
def test_frontal_images_and_those_whose_header_does_not_say_are_taken(write_dicom, tmp_path, tags):
    path = write_dicom(np.eye(9, dtype=np.uint8), "in/a.dcm", **tags)
    assert find_images(tmp_path / "in", RadiographReader()) == [{"image": str(path)}]


@pytest.mark.parametrize("tags", OTHERS)
def test_images_that_are_not_frontal_by_their_header_are_left_out(write_dicom, tmp_path, tags, caplog):
    kept = write_dicom(np.eye(9, dtype=np.uint8), "in/a.dcm", ViewPosition="PA")
    path = write_dicom(np.eye(9, dtype=np.uint8), "in/b.dcm", **tags)
    assert find_images(tmp_path / "in", RadiographReader()) == [{"image": str(kept)}]
    said = f"by its {next(iter(tags))} (00"
    assert said in caplog.text and "a frontal image is needed. Correct the tag if it is one" in caplog.text
    with pytest.raises(DataError, match=f"b.dcm: it is (from the side|oblique) {re.escape(said)}"):
        find_image(path, RadiographReader())
    with pytest.raises(DataError, match=re.escape(said)):
        HeldRadiograph(pydicom.dcmread(path))


@pytest.mark.parametrize("name", ["in/a.dcm", "in/z.dcm"])
def test_of_copies_the_whole_one_is_taken(write_dicom, write_slice, tmp_path, name):
    """Not one that was cut short, or has lost its spacing, wherever it stands."""
    whole = write_dicom(np.eye(64, dtype=np.uint8), "in/m.dcm")
    (tmp_path / name).write_bytes(whole.read_bytes()[:-2000])
    unspaced = pydicom.dcmread(whole)
    del unspaced.PixelSpacing
    unspaced.ImageComments = "x" * 100  # so that it is no smaller
    unspaced.save_as(tmp_path / "in" / "b.dcm")
    assert find_images(tmp_path / "in", RadiographReader()) == [{"image": str(whole)}]
    slices = [write_slice(number, folder="ct") for number in range(4)]
    (tmp_path / "ct" / name[3:]).write_bytes(slices[2].read_bytes()[:-20])
    (case,) = index_images(tmp_path / "ct", CTReader()).cases
    assert sorted(case.files) == sorted(slices)


def test_files_of_other_kinds_are_known_from_those_that_are_at_fault(write_dicom, tmp_path):
    """A study holds radiographs from the side, localizers and reports as a rule: they are no faults."""
    pixels = np.zeros((4, 6), np.uint8)
    write_dicom(pixels, name="in/frontal.dcm", ViewPosition="PA")
    write_dicom(pixels, name="in/side.dcm", ViewPosition="LL")
    write_dicom(pixels, name="in/scout.dcm", Modality="CT", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_dicom(pixels, name="in/unspaced.dcm", PixelSpacing=None)
    (tmp_path / "in" / "cut.dcm").write_bytes((tmp_path / "in" / "frontal.dcm").read_bytes()[:300])
    index = index_images(tmp_path / "in", RadiographReader())
    assert [case.path.name for case in index.cases] == ["frontal.dcm"]
    assert {path.name for path, _ in index.left_out} == {"side.dcm", "scout.dcm", "unspaced.dcm", "cut.dcm"}
    assert {path.name for path, _ in index.faults} == {"unspaced.dcm", "cut.dcm"}
    of_ct = index_images(tmp_path / "in", CTReader())
    assert not of_ct.cases and len(of_ct.left_out) == 5
    assert [path.name for path, _ in of_ct.faults] == ["cut.dcm"]
