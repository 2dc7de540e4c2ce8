"""RT Structure Sets: read back by SimpleITK's geometry and Matplotlib's polygons, in the right place, and valid."""

from __future__ import annotations

import ast

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from matplotlib.path import Path as Polygon
from monai.data import MetaTensor
from monai.transforms import Compose, LoadImaged
from pydicom.uid import CTImageStorage, generate_uid
from scipy.ndimage import gaussian_filter, label

from pipelines.dicom.rtstruct import SaveRTStructd, outline, write_rtstruct
from pipelines.dicom.segmentation import write_segmentation
from tests.conftest import ROOT, errors_of
from tests.pipelines.dicom.conftest import ALGORITHM, segments_of
from transforms import CTReader, DataError, MatchGridd, OutputLayout

ORGANS = segments_of("abdomen")
LEFT_KIDNEY, RIGHT_KIDNEY = 3, 4
SERIES = {"head first": 0, "oblique": 1, "feet first": 3}  # of the phantoms
LOAD = Compose([LoadImaged(["image", "label"], reader=CTReader()), MatchGridd("label", values=range(6))])
SHAPE = (30, 20, 4)  # x, y, z
ROW, COLUMN = np.array([0.6, 0.8, 0]), np.array([0.8, -0.6, 0])  # oblique, looking down: right-handed with -z
FIRST_PIXEL, STEP = np.array([-20.0, 10, 300]), np.array([0, 0, -3.0])


@pytest.fixture(scope="module", params=SERIES)
def phantom(request, ct_cohort):
    """A CT of the phantoms: its files in the order of z, its labels in its own grid, and those in NIfTI."""
    folder = sorted((ct_cohort / "train_images").iterdir())[SERIES[request.param]]
    (series,) = folder.iterdir()
    truth = ct_cohort / "segmentations" / f"{series.name}.nii.gz"
    labels = LOAD({"image": series, "label": truth})["label"].numpy().astype(np.uint8)
    files = CTReader().open(series).files
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    assert header.PatientPosition == ("FFS" if request.param == "feet first" else "HFS")
    assert np.isin(np.abs(header.ImageOrientationPatient), (0, 1)).all() == (request.param != "oblique")
    return files, labels, nibabel.load(truth)


@pytest.fixture
def series(write_dicom):
    """Writes a small oblique CT whose pixels are 0.2 mm wide and 0.4 mm high; a tag of None is left out."""
    uids = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    common = {"ImageOrientationPatient": [*ROW, *COLUMN], "Modality": "CT", "SOPClassUID": CTImageStorage, **uids}

    def write(shape=SHAPE, **tags):
        place = {tag: value for tag, value in {**common, **tags}.items() if value is not None}
        return [
            write_dicom(
                np.zeros(shape[1::-1], np.int16),
                f"{z}.dcm",
                **{"ImagePositionPatient": list(FIRST_PIXEL + z * STEP), **place},
            )
            for z in range(shape[2])
        ]

    return write


def write(labels, files, folder, segments=ORGANS):
    path = folder / "rtstruct.dcm"
    write_rtstruct(labels, files, segments, path, ALGORITHM)
    return path


def points_of(contour):
    return np.reshape([float(value) for value in contour.ContourData], (-1, 3))


def contours_of(written):
    """By the name of the region."""
    names = {roi.ROINumber: roi.ROIName for roi in written.StructureSetROISequence}
    return {
        names[item.ReferencedROINumber]: list(item.get("ContourSequence", ())) for item in written.ROIContourSequence
    }


def read_back(path, files, combine):
    """The voxels whose centres lie in the contours, by name, on the grid that SimpleITK finds in the images."""
    image = sitk.ReadImage([str(file) for file in files])
    masks = {}
    for name, contours in contours_of(pydicom.dcmread(path)).items():
        masks[name] = np.zeros(image.GetSize(), bool)
        for contour in contours:
            index = np.array([image.TransformPhysicalPointToContinuousIndex(point) for point in points_of(contour)])
            z = round(index[0, 2])
            assert np.abs(index[:, 2] - z).max() < 1e-3
            (left, top), (right, bottom) = np.rint(index[:, :2].min(axis=0)), np.rint(index[:, :2].max(axis=0))
            box = masks[name][int(left) : int(right) + 1, int(top) : int(bottom) + 1, z]
            centres = np.argwhere(np.ones_like(box)) + np.array([left, top])
            box[:] = combine(box, Polygon(index[:, :2]).contains_points(centres).reshape(box.shape))
    return masks, image


@pytest.mark.parametrize("combine", [np.logical_or, np.logical_xor])
def test_organs_are_read_back_where_they_are(phantom, tmp_path, combine):
    files, labels, truth = phantom
    masks, image = read_back(write(labels, files, tmp_path), files, combine)
    assert list(masks) == [organ["label"] for organ in ORGANS]
    middles = []
    for number, mask in enumerate(masks.values(), start=1):
        assert mask.any() and np.array_equal(mask, labels == number)
        index = np.argwhere(mask).mean(axis=0)
        middles.append(np.array(image.TransformContinuousIndexToPhysicalPoint(index.tolist())))  # left, posterior, up
        expected = np.argwhere(np.asarray(truth.dataobj) == number).mean(axis=0)  # right, anterior, up, in the NIfTI
        assert np.abs(middles[-1] * [-1, -1, 1] - nibabel.affines.apply_affine(truth.affine, expected)).max() < 0.01
    assert middles[LEFT_KIDNEY - 1][0] > 30 and middles[RIGHT_KIDNEY - 1][0] < -30  # mm


def test_contours_enclose_the_volume_of_the_voxels(phantom, tmp_path):
    """By their points alone: the sum of their areas, each half of the sum of cross products, and the slices' gaps."""
    files, labels, _ = phantom
    image = sitk.ReadImage([str(file) for file in files])
    contours = contours_of(pydicom.dcmread(write(labels, files, tmp_path)))
    for number, organ in enumerate(ORGANS, start=1):
        area = 0.0
        for contour in contours[organ["label"]]:
            points = points_of(contour) - points_of(contour)[0]
            area += np.linalg.norm(np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0)) / 2
        expected = (labels == number).sum() * np.prod(image.GetSpacing())
        assert area * image.GetSpacing()[2] == pytest.approx(expected, rel=0.02)


def test_rectangle_has_the_edges_of_its_pixels(series, tmp_path):
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:9, 4:16, 2] = 1
    written = pydicom.dcmread(write(labels, series(), tmp_path))
    (contour,) = contours_of(written)["liver"]
    points = points_of(contour) - (FIRST_PIXEL + 2 * STEP)
    assert contour.NumberOfContourPoints == len(points) == 8  # each corner is cut
    assert np.abs(points @ np.cross(ROW, COLUMN)).max() < 1e-4
    for direction, pixel, low, high in ((ROW, 0.2, 2.5, 8.5), (COLUMN, 0.4, 3.5, 15.5)):
        along = points @ direction / pixel
        assert along.min() == pytest.approx(low, abs=0.0015) and along.max() == pytest.approx(high, abs=0.0015)


def nested():
    """A ring around a ring around a block, two more holes in one row, and one at the edge: (x, y)."""
    mask = np.zeros(SHAPE[:2], bool)
    mask[0:20, 0:17] = True
    mask[2:14, 2:15] = False
    mask[3:13, 3:14] = True
    mask[5:11, 5:12] = False
    mask[7:9, 7:10] = True
    mask[15, 8] = mask[17:19, 8:11] = False
    mask[29, 19] = True
    return mask


@pytest.mark.parametrize("combine", [np.logical_or, np.logical_xor])
def test_holes_survive_however_contours_are_combined(series, tmp_path, combine):
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, :, 1], labels[:, :, 2] = nested(), ~nested()
    files = series()
    path = write(labels, files, tmp_path)
    masks, _ = read_back(path, files, combine)
    assert np.array_equal(masks["liver"], labels == 1)
    assert {contour.ContourGeometricType for contour in contours_of(pydicom.dcmread(path))["liver"]} == {
        "CLOSED_PLANAR"
    }


@pytest.mark.parametrize("smooth", [0, 0.7, 1.5])
def test_any_mask_has_one_outline_for_each_part(smooth):
    rng = np.random.default_rng(0)
    centres = np.stack(np.meshgrid(np.arange(30), np.arange(24), indexing="ij"), -1).reshape(-1, 2)
    holes = 0
    for share in np.linspace(0.2, 0.8, 20):
        values = gaussian_filter(rng.standard_normal((30, 24)), smooth)
        mask = values > np.quantile(values, 1 - share)
        polygons = outline(mask)
        parts = label(mask)[1]
        inside = [Polygon(points).contains_points(centres).reshape(mask.shape) for points in polygons]
        assert np.array_equal(np.sum(inside, axis=0), mask)  # no pixel is in two
        assert len(polygons) == parts
        area = sum(
            abs(points[:, 0] @ np.roll(points[:, 1], 1) - points[:, 1] @ np.roll(points[:, 0], 1)) / 2
            for points in polygons
        )
        here = label(np.pad(~mask, 1, constant_values=True), np.ones((3, 3)))[1] - 1
        assert area == pytest.approx(mask.sum() - (parts - here) / 8, rel=0.01)
        # who rounds the points to pixels finds pixels of the mask
        assert all(mask[tuple(np.rint(points).astype(int).T)].all() for points in polygons)
        holes += here
    assert holes > 20


def test_long_contour_is_written_whole(series, tmp_path):
    """Of more than 65,534 bytes, for which explicit VR has no room."""
    shape = (400, 20, 2)
    labels = np.zeros(shape, np.uint8)
    labels[::2, :, 0], labels[:, 10, 0] = 1, 1  # a comb
    files = series(shape)
    path = write(labels, files, tmp_path)
    (contour,) = contours_of(pydicom.dcmread(path))["liver"]
    assert len("\\".join(map(str, contour.ContourData))) > 2**16
    assert np.array_equal(read_back(path, files, np.logical_xor)[0]["liver"], labels == 1)
    assert errors_of(path) == []


def test_contours_refer_to_the_images_on_which_they_lie(phantom, tmp_path):
    files, labels, _ = phantom
    written = pydicom.dcmread(write(labels, files, tmp_path))
    originals = {header.SOPInstanceUID: header for header in map(pydicom.dcmread, files)}
    first = next(iter(originals.values()))
    (frame,) = written.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (referred,) = study.RTReferencedSeriesSequence
    assert frame.FrameOfReferenceUID == written.FrameOfReferenceUID == first.FrameOfReferenceUID
    assert study.ReferencedSOPInstanceUID == written.StudyInstanceUID == first.StudyInstanceUID
    assert referred.SeriesInstanceUID == first.SeriesInstanceUID != written.SeriesInstanceUID
    assert [image.ReferencedSOPInstanceUID for image in referred.ContourImageSequence] == list(originals)
    assert {roi.ReferencedFrameOfReferenceUID for roi in written.StructureSetROISequence} == {first.FrameOfReferenceUID}
    for contours in contours_of(written).values():
        assert [contour.ContourNumber for contour in contours] == list(range(1, len(contours) + 1))
        for contour in contours:
            (image,) = contour.ContourImageSequence
            assert image.ReferencedSOPClassUID == CTImageStorage
            original = originals[image.ReferencedSOPInstanceUID]
            normal = np.cross(*np.reshape(original.ImageOrientationPatient, (2, 3)).astype(float))
            from_image = points_of(contour) - np.array(original.ImagePositionPatient, float)
            assert np.abs(from_image @ normal).max() < 1e-3  # mm


def test_regions_have_names_codes_and_colours(phantom, tmp_path):
    files, labels, _ = phantom
    written = pydicom.dcmread(write(labels, files, tmp_path))
    found = []
    for roi, contours, observed in zip(
        written.StructureSetROISequence, written.ROIContourSequence, written.RTROIObservationsSequence, strict=True
    ):
        assert roi.ROINumber == contours.ReferencedROINumber == observed.ReferencedROINumber
        assert roi.ROIGenerationAlgorithm == "AUTOMATIC" and observed.RTROIInterpretedType == "ORGAN"
        (made,) = roi.ROIDerivationAlgorithmIdentificationSequence
        assert (made.AlgorithmName, made.AlgorithmVersion) == (ALGORITHM.name, ALGORITHM.version)
        assert observed.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "123037004"  # Anatomical Structure
        (kind,) = observed.RTROIIdentificationCodeSequence
        side = [modifier.CodeMeaning for modifier in kind.get("SegmentedPropertyTypeModifierCodeSequence", ())]
        code = kind.CodeValue, kind.CodingSchemeDesignator
        found.append((roi.ROIName, *code, side, list(contours.ROIDisplayColor)))
    assert found == [
        ("liver", "10200004", "SCT", [], [221, 130, 101]),
        ("spleen", "78961009", "SCT", [], [157, 108, 162]),
        ("left kidney", "64033007", "SCT", ["Left"], [185, 102, 83]),
        ("right kidney", "64033007", "SCT", ["Right"], [185, 102, 83]),
        ("bowel", "113276009", "SCT", [], [205, 167, 142]),
    ]
    assert (written.Modality, written.ApprovalStatus) == ("RTSTRUCT", "UNAPPROVED")
    assert written.StructureSetName == ALGORITHM.name and written.StructureSetLabel == ALGORITHM.name[:16]


@pytest.mark.parametrize("kept", [(1, 2, 3, 4, 5), (1, 3), ()])
def test_is_valid_and_names_organs_without_a_voxel(phantom, tmp_path, kept):
    files, labels, _ = phantom
    path = write(np.where(np.isin(labels, kept), labels, 0), files, tmp_path)
    assert errors_of(path) == []
    written = pydicom.dcmread(path)
    assert [roi.ROIName for roi in written.StructureSetROISequence] == [organ["label"] for organ in ORGANS]
    assert [n for n, item in enumerate(written.ROIContourSequence, start=1) if "ContourSequence" in item] == list(kept)
    assert len(written.RTROIObservationsSequence) == len(ORGANS)


def test_is_valid_with_all_that_a_source_can_say(series, tmp_path):
    """And of segments with a region and without a colour."""
    tags = {"StudyDate": "20200131", "StudyTime": "101112", "StudyID": "7", "AccessionNumber": "A1", "PatientSex": "?"}
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:9, 4:16] = 1
    segment = {**ORGANS[0], "region": ["818983003", "SCT", "Abdomen"]}
    del segment["color"]
    path = write(labels, series(**tags, LossyImageCompression="01"), tmp_path, [segment])
    assert errors_of(path) == []
    assert pydicom.dcmread(path).RTROIObservationsSequence[0].AnatomicRegionSequence[0].CodeValue == "818983003"


def test_tells_of_the_patient_no_more_than_a_segmentation(series, tmp_path):
    told = {"PatientBirthDate": "19500101", "StudyDescription": "Abdomen", "PatientComments": "Comment Y"}
    secret = {"InstitutionName": "Hospital X", "OperatorsName": "Op^X", "StationName": "Room X", "Manufacturer": "Co X"}
    secret |= {"SeriesDescription": "Series X", "ImageComments": "Image X", "ProtocolName": "Protocol X"}
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:9, 4:16] = 1
    files = series(**told, **secret, SliceThickness=3)
    raw = write(labels, files, tmp_path).read_bytes()
    assert not [value for value in secret.values() if value.encode() in raw]
    write_segmentation(labels, files, ORGANS, tmp_path / "seg.dcm", ALGORITHM)
    original, segmentation = pydicom.dcmread(files[0]), pydicom.dcmread(tmp_path / "seg.dcm")
    written = pydicom.dcmread(tmp_path / "rtstruct.dcm")
    taken = {element.keyword for element in written if element.value and element == original.get(element.tag)}
    assert taken <= {element.keyword for element in segmentation if element == original.get(element.tag)}
    assert {"PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID"} <= taken


@pytest.mark.parametrize(
    ("characters", "name"),
    [("ISO_IR 100", "Müller^Jörg"), (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"), ("ISO_IR 192", "王^小东")],
)
def test_names_keep_their_characters(series, tmp_path, characters, name):
    files = series(SpecificCharacterSet=characters, PatientName=name)
    assert pydicom.dcmread(write(np.zeros(SHAPE, np.uint8), files, tmp_path)).PatientName == name


def test_what_cannot_be_referred_to_is_refused(series, tmp_path):
    labels = np.zeros(SHAPE, np.uint8)
    with pytest.raises(DataError, match=r"0\.dcm: lacks FrameOfReferenceUID"):
        write(labels, series(FrameOfReferenceUID=None), tmp_path)
    with pytest.raises(DataError, match="lacks StudyInstanceUID"):
        write(labels, series(StudyInstanceUID=""), tmp_path)
    files = series()
    for wrong in (labels.transpose(1, 0, 2), labels[..., :3], labels[..., 0], labels + 6):
        with pytest.raises(ValueError, match="are not those of 4 images of 30 x 20"):
            write(wrong, files, tmp_path)
    assert not (tmp_path / "rtstruct.dcm").exists()


def test_transform_names_the_file_after_the_image(phantom, tmp_path):
    files, labels, _ = phantom
    folder = files[0].parent
    layout = OutputLayout(tmp_path, folder.parent, "rtstruct", ".dcm")
    pred = MetaTensor(labels[None].astype(np.float32), meta={"filename_or_obj": str(folder)})
    data = {"pred": pred, "sources": [str(file) for file in files]}
    (path,) = SaveRTStructd("pred", layout, ORGANS, ALGORITHM)(data)["written"]
    assert path.name == f"{folder.name}_rtstruct.dcm"
    assert np.array_equal(read_back(path, files, np.logical_xor)[0]["spleen"], labels == 2)


def test_no_module_imports_it_unasked():
    for module in (ROOT / "pipelines").rglob("*.py"):
        imports = [node for node in ast.parse(module.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert "rtstruct" not in " ".join(map(ast.unparse, imports)), module


@pytest.mark.real
def test_real_ct(real_data, tmp_path):
    """Of twenty slices; its UIDs, which whoever published it took out, are put back."""
    uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4", "FrameOfReferenceUID": "1.2.5"}
    (tmp_path / "ct").mkdir()
    for file in (real_data / "ct" / "example_ct_dicom").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
        for tag, value in uids.items():
            setattr(dataset, tag, value)
        dataset.save_as(tmp_path / "ct" / file.name)
    volume = CTReader().open(tmp_path / "ct")
    bone = CTReader().get_data(tmp_path / "ct")[0] > 200  # with many holes and islands
    path = write(bone.reshape(volume.shape).astype(np.uint8), volume.files, tmp_path)
    assert errors_of(path) == []
    assert np.array_equal(read_back(path, volume.files, np.logical_or)[0]["liver"], bone.reshape(volume.shape))
