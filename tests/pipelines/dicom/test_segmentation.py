"""DICOM Segmentations: read back by other libraries, in the right place, and valid."""

from __future__ import annotations

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from monai.data import PydicomReader
from monai.transforms import LoadImage
from pydicom.uid import CTImageStorage, generate_uid

from pipelines.dicom.segmentation import write_segmentation
from tests.conftest import errors_of
from tests.pipelines.dicom.conftest import ALGORITHM, COLUMNS, DX, ROWS, WHOLE, segments_of
from transforms import CTReader, DataError

MASK = np.zeros((COLUMNS, ROWS), np.uint8)  # (x, y)
MASK[3:9, 4:16] = 1


class EveryFrame(PydicomReader):
    """MONAI 1.6.1 takes the rows of a segmentation with a single frame for its frames; all else is MONAI's."""

    def _get_array_data(self, img, filename):
        return super()._get_array_data(img, filename).reshape(-1, img.Rows, img.Columns)


def read_by_monai(path, affine):
    """By MONAI's own reader, its slices in the order of a grid with that affine: highdicom writes the last first."""
    loaded = LoadImage(reader="PydicomReader", image_only=True)(path)
    values, found = np.asarray(loaded), np.array(loaded.affine)
    if found[:3, 2] @ affine[:3, 2] < 0:
        values = values[:, :, ::-1]
        found[:3, 3] += found[:3, 2] * (values.shape[2] - 1)
        found[:3, 2] *= -1
    assert np.abs(found - affine).max() < 1e-3  # mm
    return values


def test_radiograph_is_read_back_by_three_libraries(radiograph, tmp_path):
    source, path = radiograph(), tmp_path / "seg.dcm"
    write_segmentation(MASK, [source], segments_of("lungs"), path, ALGORITHM)
    written = pydicom.dcmread(path)
    assert written.pixel_array.shape == (ROWS, COLUMNS)  # pydicom: rows, columns
    assert np.array_equal(written.pixel_array, MASK.T)
    original = pydicom.dcmread(source)
    read = highdicom.seg.segread(path)
    frames = read.get_pixels_by_source_instance([original.SOPInstanceUID], combine_segments=True)
    assert np.array_equal(frames, MASK.T[None])
    assert np.array_equal(LoadImage(reader=EveryFrame(), image_only=True)(path)[..., 0, 0], MASK)


@pytest.mark.parametrize("kind", WHOLE)
def test_computed_and_digital_radiographs_have_a_plane_for_viewers(radiograph, tmp_path, kind):
    """Of images that are valid by their own definition; what OHIF reads without looking whether it is there."""
    source, path = radiograph(**WHOLE[kind]), tmp_path / "seg.dcm"
    assert errors_of(source) == []
    write_segmentation(MASK, [source], segments_of("lungs"), path, ALGORITHM)
    assert errors_of(path) == []
    written = pydicom.dcmread(path)
    assert "FrameOfReferenceUID" not in written
    (shared,), (frame,) = written.SharedFunctionalGroupsSequence, written.PerFrameFunctionalGroupsSequence
    (measures,), (orientation,) = shared.PixelMeasuresSequence, shared.PlaneOrientationSequence
    assert list(measures.PixelSpacing) == list(WHOLE[kind]["ImagerPixelSpacing"])  # between rows, between columns
    assert list(orientation.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
    assert list(frame.PlanePositionSequence[0].ImagePositionPatient) == [0, 0, 0]
    assert "no place in the patient" in written.ImageComments and "of the detector" in written.ImageComments
    uid = pydicom.dcmread(source).SOPInstanceUID
    assert frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID == uid
    read = highdicom.seg.segread(path)
    assert np.array_equal(read.get_pixels_by_source_instance([uid], combine_segments=True), MASK.T[None])


@pytest.mark.parametrize(
    ("tags", "spacing", "said"),
    [
        ({"PixelSpacing": [0.4, 0.2]}, [0.4, 0.2], "referenced image."),
        ({"PixelSpacing": [0.4, 0.2], "ImagerPixelSpacing": [0.5, 0.3]}, [0.4, 0.2], "referenced image."),
        ({"PixelSpacing": None, "NominalScannedPixelSpacing": [0.3, 0.2]}, [0.3, 0.2], "that of the film"),
        ({"PixelSpacing": None}, [1, 1], "a pixel is given as 1 mm."),
    ],
)
def test_the_plane_of_a_radiograph_has_its_spacing_and_says_whose(radiograph, tmp_path, tags, spacing, said):
    write_segmentation(MASK, [radiograph(**tags)], segments_of("lungs"), tmp_path / "seg.dcm", ALGORITHM)
    written = pydicom.dcmread(tmp_path / "seg.dcm")
    (measures,) = written.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert list(measures.PixelSpacing) == spacing
    assert said in written.ImageComments
    assert errors_of(tmp_path / "seg.dcm") == []


@pytest.mark.parametrize("tags", [{}, *WHOLE.values()], ids=["SC", *WHOLE])
def test_the_strict_form_has_no_plane(radiograph, tmp_path, tags):
    source, path = radiograph(**tags), tmp_path / "seg.dcm"
    write_segmentation(MASK, [source], segments_of("lungs"), path, ALGORITHM, strict=True)
    written = pydicom.dcmread(path)
    for group in (*written.SharedFunctionalGroupsSequence, *written.PerFrameFunctionalGroupsSequence):
        assert not {"PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence"} & set(group.dir())
    assert "ImageComments" not in written and errors_of(path) == []
    assert np.array_equal(written.pixel_array, MASK.T)


@pytest.mark.xfail(strict=True, raises=ValueError, reason="MONAI 1.6.1 cannot read a segmentation of one frame")
def test_monai_reads_a_single_frame(radiograph, tmp_path):
    write_segmentation(MASK, [radiograph()], segments_of("lungs"), tmp_path / "seg.dcm", ALGORITHM)
    reader = PydicomReader()
    reader.get_data(reader.read(tmp_path / "seg.dcm"))


def test_belongs_to_its_image_and_says_what_made_it(radiograph, tmp_path):
    secret = {"InstitutionName": "Hospital X", "OperatorsName": "Op^X", "StationName": "Room X"}
    source = radiograph(PatientBirthDate="19500101", Manufacturer="Maker X", **secret)
    write_segmentation(MASK, [source], segments_of("opacity"), tmp_path / "seg.dcm", ALGORITHM)
    original, written = pydicom.dcmread(source), pydicom.dcmread(tmp_path / "seg.dcm")
    for tag in ("StudyInstanceUID", "PatientID", "PatientName", "PatientBirthDate"):
        assert written[tag].value == original[tag].value
    assert written.SeriesInstanceUID != original.SeriesInstanceUID and written.Modality == "SEG"
    (series,) = written.ReferencedSeriesSequence
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == original.SOPInstanceUID
    (segment,) = written.SegmentSequence
    assert segment.SegmentAlgorithmType == "AUTOMATIC" and segment.SegmentAlgorithmName == ALGORITHM.name
    (identified,) = segment.SegmentationAlgorithmIdentificationSequence
    assert identified.AlgorithmVersion == ALGORITHM.version
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "112001"  # DCM, Opacity
    assert segment.AnatomicRegionSequence[0].CodeValue == "39607008"  # SNOMED CT, Lung
    raw = (tmp_path / "seg.dcm").read_bytes()
    for value in (b"Hospital X", b"Op^X", b"Room X", b"Maker X"):
        assert value not in raw


def test_probabilities_are_kept_in_steps_of_a_255th(radiograph, tmp_path):
    probability = np.random.default_rng(0).random((COLUMNS, ROWS)).astype(np.float32)
    source = radiograph()
    write_segmentation(probability, [source], segments_of("opacity"), tmp_path / "seg.dcm", ALGORITHM, fractional=True)
    written = pydicom.dcmread(tmp_path / "seg.dcm")
    assert written.SegmentationType == "FRACTIONAL" and written.SegmentationFractionalType == "PROBABILITY"
    assert np.abs(written.pixel_array / written.MaximumFractionalValue - probability.T).max() <= 0.51 / 255
    uid = pydicom.dcmread(source).SOPInstanceUID
    read = highdicom.seg.segread(tmp_path / "seg.dcm").get_pixels_by_source_instance([uid])[..., 0]
    assert np.abs(read[0] - probability.T).max() <= 0.51 / 255


def test_oblique_ct_is_read_back_by_three_libraries(oblique, tmp_path):
    volume, labels, truth = oblique
    write_segmentation(labels, volume.files, segments_of("abdomen"), tmp_path / "seg.dcm", ALGORITHM)
    originals = [pydicom.dcmread(file) for file in volume.files]
    written = pydicom.dcmread(tmp_path / "seg.dcm")
    assert written.FrameOfReferenceUID == originals[0].FrameOfReferenceUID
    read = highdicom.seg.segread(tmp_path / "seg.dcm")
    frames = read.get_pixels_by_source_instance([o.SOPInstanceUID for o in originals], combine_segments=True)
    assert np.array_equal(frames, labels.T)

    # pydicom: each frame says where it lies; that must be where its source lies
    position_of = {o.SOPInstanceUID: [float(v) for v in o.ImagePositionPatient] for o in originals}
    shared = written.SharedFunctionalGroupsSequence[0]
    orientation = [float(v) for v in shared.PlaneOrientationSequence[0].ImageOrientationPatient]
    assert orientation == pytest.approx([float(v) for v in originals[0].ImageOrientationPatient], abs=1e-6)
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == pytest.approx(list(originals[0].PixelSpacing))
    for frame, pixels in zip(written.PerFrameFunctionalGroupsSequence, written.pixel_array, strict=True):
        uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert list(frame.PlanePositionSequence[0].ImagePositionPatient) == pytest.approx(position_of[uid], abs=1e-4)
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        index = [o.SOPInstanceUID for o in originals].index(uid)
        assert np.array_equal(pixels, number == labels[:, :, index].T)

    # MONAI: the same masks, and each organ's middle where the truth in NIfTI has it
    loaded = read_by_monai(tmp_path / "seg.dcm", volume.affine)
    for number in range(1, 6):
        assert np.array_equal(loaded[..., number - 1] > 0, labels == number)
        middle = np.argwhere(loaded[..., number - 1]).mean(axis=0)
        expected = np.argwhere(np.asarray(truth.dataobj) == number).mean(axis=0)
        apply = nibabel.affines.apply_affine
        assert np.abs(apply(volume.affine, middle) - apply(truth.affine, expected)).max() < 0.01  # mm


def test_segments_have_the_codes_and_colours_of_the_field(oblique, tmp_path):
    """As 3D Slicer's and dcmqi's table of segmentation categories has them."""
    volume, labels, _ = oblique
    write_segmentation(labels, volume.files, segments_of("abdomen"), tmp_path / "seg.dcm", ALGORITHM)
    found = []
    for segment in highdicom.seg.segread(tmp_path / "seg.dcm").SegmentSequence:
        (kind,) = segment.SegmentedPropertyTypeCodeSequence
        side = [m.CodeMeaning for m in kind.get("SegmentedPropertyTypeModifierCodeSequence", ())]
        colour = highdicom.color.CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue).to_rgb()
        found.append((segment.SegmentLabel, kind.CodeValue, kind.CodingSchemeDesignator, side, colour))
    assert found == [
        ("liver", "10200004", "SCT", [], (221, 130, 101)),
        ("spleen", "78961009", "SCT", [], (157, 108, 162)),
        ("left kidney", "64033007", "SCT", ["Left"], (185, 102, 83)),
        ("right kidney", "64033007", "SCT", ["Right"], (185, 102, 83)),
        ("bowel", "113276009", "SCT", [], (205, 167, 142)),
    ]


@pytest.mark.parametrize("tags", [{}, DX, {"PatientSex": "?"}, {"PatientID": None, "PixelSpacing": None}])
@pytest.mark.parametrize("fractional", [False, True])
@pytest.mark.parametrize("mask", [MASK, 0 * MASK], ids=["mask", "empty"])
def test_segmentation_of_a_radiograph_is_valid(radiograph, tmp_path, tags, fractional, mask):
    path = tmp_path / "seg.dcm"
    write_segmentation(mask, [radiograph(**tags)], segments_of("pneumonia"), path, ALGORITHM, fractional)
    assert errors_of(path) == []


@pytest.mark.parametrize("empty", [False, True])
def test_segmentation_of_a_ct_is_valid(oblique, tmp_path, empty):
    volume, labels, _ = oblique
    labels = labels * 0 if empty else labels
    write_segmentation(labels, volume.files, segments_of("abdomen"), tmp_path / "seg.dcm", ALGORITHM)
    assert errors_of(tmp_path / "seg.dcm") == []
    assert pydicom.dcmread(tmp_path / "seg.dcm").NumberOfFrames == 5 * len(volume.files)


def test_what_cannot_be_referred_to_is_refused(radiograph, oblique, tmp_path):
    arguments = segments_of("lungs"), tmp_path / "seg.dcm", ALGORITHM
    picture = tmp_path / "image.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match="image.png: not a DICOM file"):
        write_segmentation(MASK, [picture], *arguments)
    with pytest.raises(DataError, match="lacks StudyInstanceUID"):
        write_segmentation(MASK, [radiograph(StudyInstanceUID="")], *arguments)
    with pytest.raises(ValueError, match="is not that of 1 images"):
        write_segmentation(MASK.T, [radiograph()], *arguments)
    volume, labels, _ = oblique
    files = []
    for number, file in enumerate(volume.files):
        header = pydicom.dcmread(file)
        del header.FrameOfReferenceUID
        files.append(tmp_path / f"{number}.dcm")
        header.save_as(files[-1])
    with pytest.raises(DataError, match="lacks FrameOfReferenceUID"):
        write_segmentation(labels, files, segments_of("abdomen"), tmp_path / "seg.dcm", ALGORITHM)
    assert not (tmp_path / "seg.dcm").exists()


@pytest.mark.real
def test_real_ct(real_data, tmp_path):
    """Of twenty slices; its UIDs, which whoever published it took out, are put back."""
    series = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4", "FrameOfReferenceUID": "1.2.5"}
    (tmp_path / "ct").mkdir()
    for file in (real_data / "ct" / "example_ct_dicom").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
        for tag, value in series.items():
            setattr(dataset, tag, value)
        dataset.save_as(tmp_path / "ct" / file.name)
    volume = CTReader().open(tmp_path / "ct")
    labels = np.zeros(volume.shape, np.uint8)
    labels[100:300, 50:200, 3:9] = 1
    write_segmentation(labels, volume.files, segments_of("abdomen"), tmp_path / "seg.dcm", ALGORITHM)
    assert errors_of(tmp_path / "seg.dcm") == []
    assert np.array_equal(read_by_monai(tmp_path / "seg.dcm", volume.affine)[..., 0], labels == 1)
