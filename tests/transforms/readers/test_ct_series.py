"""Slices of a CT in order: spacing and affine from positions, and the series that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from pipelines.phantoms.cohort import IN_FILE_FORMAT
from tests.transforms.readers.conftest import HU, read
from transforms import CTReader, CTVolume, DataError
from transforms.readers.ct_series import find_slices
from transforms.readers.header import is_localizer


def test_series_is_ordered_by_position_with_spacing_from_positions(write_series):
    array, affine = read(write_series())
    assert array.dtype == np.float32 and array.flags.c_contiguous
    np.testing.assert_array_equal(array, HU)
    # PixelSpacing is row spacing 0.9, column spacing 0.7; slices lie 2.5 mm apart, SliceThickness says 5
    np.testing.assert_allclose(affine, [[-0.7, 0, 0, -10], [0, -0.9, 0, -20], [0, 0, 2.5, 5], [0, 0, 0, 1]], atol=1e-9)


def oblique(number):
    """A rigid turn of 30 degrees about the x axis."""
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    return [10.0, 20.0 - s * 2.5 * number, 5.0 + c * 2.5 * number]


def test_oblique_series_is_no_tilted_one(write_series):
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    folder = write_series(ImageOrientationPatient=[1, 0, 0, 0, c, s], ImagePositionPatient=oblique)
    array, affine = read(folder)
    np.testing.assert_array_equal(array, HU)
    np.testing.assert_allclose(affine[:3, 0], [-0.7, 0, 0], atol=1e-9)
    np.testing.assert_allclose(affine[:3, 1], [0, -0.9 * c, 0.9 * s], atol=1e-9)
    np.testing.assert_allclose(affine[:3, 2], [0, 2.5 * s, 2.5 * c], atol=1e-9)


def test_order_follows_the_normal_where_the_patient_lies_feet_first(write_series):
    _, affine = read(write_series(ImageOrientationPatient=[-1, 0, 0, 0, 1, 0]))
    np.testing.assert_allclose(affine[:3, 2], [0, 0, -2.5], atol=1e-9)
    np.testing.assert_allclose(affine[:3, 3], [-10, -20, 17.5], atol=1e-9)  # the highest slice comes first


def test_positions_rounded_to_a_tenth_are_evenly_spaced(write_series):
    folder = write_series(ImagePositionPatient=lambda n: [0, 0, round(0.625 * n, 1)])
    assert CTReader().open(folder).spacing[2] == pytest.approx(0.62)  # 3.1 mm in five steps


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (
            {"numbers": [0, 1, 2, 4, 5]},
            r"slices are missing \(1 in all\): 1 between slice3.dcm and slice6.dcm.*2.5 mm apart",
        ),
        ({"ImagePositionPatient": lambda n: [0, 0, n + (n > 3) * 2]}, r"slices are missing \(2 in all\): 2 between"),
        ({"ImagePositionPatient": lambda n: [0, 0, n // 2]}, r"slices are doubled \(3 in all\).*keep one of each"),
        (
            {"ImagePositionPatient": lambda n: [0, 0, n // 2], "AcquisitionNumber": lambda n: n % 2},
            r"slices are doubled \(3 in all\).*one folder for each AcquisitionNumber",
        ),
        ({"ImagePositionPatient": lambda n: [0, 0, n + (n == 2) * 0.3]}, r"unevenly spaced, 0.7 to 1.3 mm.*0.1 mm is"),
        ({"ImagePositionPatient": lambda n: [0, 0.2 * n, 2 * n]}, r"gantry tilt.*dcm2niix"),
        ({"ImagePositionPatient": lambda n: [0.5 * (n == 3), 0, n]}, r"0.5 mm sideways"),
        ({"ImageOrientationPatient": lambda n: [1, 0, 0, 0, 1, 0] if n else [0, 1, 0, 1, 0, 0]}, r"Orientation.*is \["),
        ({"ImageOrientationPatient": [1, 0, 0, 0.1, 1, 0]}, r"right angle"),
        ({"PixelSpacing": lambda n: [0.9, 0.8 if n == 5 else 0.7]}, r"its PixelSpacing is \[0.9, 0.8\]"),
        ({"stored": lambda n: np.zeros((5 + (n == 4), 7), np.uint16)}, r"its Rows is 6.*in the same series is 5"),
        ({"SeriesInstanceUID": lambda n: f"1.2.{n // 2 and 1}"}, r"holds 2 series .*, of 4, 2 images"),
        ({"Modality": "MR"}, r"Modality \(0008,0060\) is MR, not CT"),
        ({"NumberOfFrames": 3}, r"multi-frame .* of 3 frames"),
        ({"ImagePositionPatient": None}, r"lacks ImagePositionPatient"),
        ({"PixelSpacing": [0, 1]}, r"PixelSpacing \(0028,0030\) is 0 and 1 mm; it must be from 0.01 to 10 mm"),
        (
            {"ImagePositionPatient": lambda n: [0, 0, 51 * n]},
            r"distance by ImagePositionPatient .* is 51 mm; it must be from 0.1 to 50 mm",
        ),
        ({"numbers": [3]}, r"only slice of its series"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, r"holds only localizers, 6 of them"),
    ],
)
def test_series_that_is_refused(write_series, tags, message):
    folder = write_series(**tags)
    for use in (CTReader().open, read):
        with pytest.raises(DataError, match=message) as error:
            use(folder)
        assert str(folder) in str(error.value) and "Doe" not in str(error.value)


def test_what_lies_beside_the_slices_is_ignored(write_series, write_slice):
    folder = write_series()
    write_slice(name="scout.dcm", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesInstanceUID="1.2.4")
    for name in ("notes.txt", "Thumbs.db", ".DS_Store", "LICENSE"):
        (folder / name).write_text("no slice")
    directory = FileDataset("", {}, b"\0" * 128, FileMetaDataset(), is_implicit_VR=False, is_little_endian=True)
    directory.file_meta.MediaStorageSOPClassUID = uid.MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    directory.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    directory.FileSetID = "SET"
    directory.save_as(folder / "DICOMDIR", **IN_FILE_FORMAT)
    np.testing.assert_array_equal(read(folder)[0], HU)


@pytest.mark.parametrize("name", ["slice9.dcm", "CT.1.2.840.113619.4711", "IM000009"])
def test_file_that_should_be_a_slice_is_not_ignored(write_series, name):
    folder = write_series()
    (folder / name).write_text("<!DOCTYPE html>")
    with pytest.raises(DataError, match=rf"{name}: not a DICOM file: it begins with b'<!DOCTYPE html"):
        CTReader().open(folder)


def test_a_slice_that_lost_its_rows_and_its_class_is_not_ignored(write_series, write_slice):
    """Or a volume would lack its last slice, and nothing would tell."""
    folder = write_series()
    path = write_slice(5, Rows=None)
    content = path.read_bytes()
    for kind in (
        b"1.2.840.10008.5.1.4.1.1.2\0",
        b"3.2.840.10008.5.1.4.1.1.2\0",
        b"1.2.840.10008.9.9.9.9.9.9\0",
        b"1.2.84\xff.10008.5.1.4.1.1.2\0",
    ):
        path.write_bytes(content.replace(b"1.2.840.10008.5.1.4.1.1.2\0", kind, 1))  # in the file's meta information
        with pytest.raises(DataError, match=f"{path.name}: has no Rows .*, it is damaged or was cut short"):
            find_slices(folder)


def test_files_of_a_series_are_found_among_those_of_another(write_series, tmp_path):
    folder = write_series("ct", numbers=range(3))
    files = sorted(folder.iterdir())
    write_series("ct", numbers=range(3, 6), SeriesInstanceUID="1.2.4")
    with pytest.raises(DataError, match="holds 2 series .*, of 3, 3 images"):
        find_slices(folder)
    assert [path for path, _ in find_slices(folder, files)] == files
    volume = CTReader().open(files)
    assert volume.shape == (7, 5, 3) and set(volume.files) == set(files)


def test_volume_knows_its_patient_and_its_files_in_order(write_series):
    volume = CTReader().open(write_series(PatientID=" P-1 "))
    assert volume.patient == "P-1" and [path.name for path in volume.files] == [
        f"slice{number}.dcm" for number in (0, 5, 3, 1, 6, 4)
    ]


def test_spacing_is_the_length_of_the_affine_s_columns_however_they_are_turned():
    affine = np.array([[0, -3, 0, 7], [0.6, 0, 0, 8], [0.8, 0, 2, 9], [0, 0, 0, 1]])
    assert CTVolume((), (1, 1, 1), affine).spacing == pytest.approx((1.0, 3.0, 2.0))


@pytest.mark.parametrize(
    ("kind", "localizer"),
    [(["ORIGINAL", "PRIMARY", "LOCALIZER"], True), (["ORIGINAL", "PRIMARY", "AXIAL"], False), (None, False)],
)
def test_localizers_are_told_by_their_type(kind, localizer):
    header = Dataset()
    if kind:
        header.ImageType = kind
    assert is_localizer(header) is localizer
