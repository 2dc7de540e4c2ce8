"""Reading CT: Hounsfield units, files that are damaged, and NIfTI."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom import uid

from tests.transforms.readers.conftest import HU, read
from transforms import CTReader, DataError

NO_NUMBERS = [float("nan"), float("inf"), -float("inf"), 1e300, -1e300]


def read_with_simpleitk(folder):
    """What GDCM makes of a folder: the array (x, y, z) and the affine in RAS."""
    sitk = pytest.importorskip("SimpleITK")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, np.diag([-1, -1, 1, 1]) @ affine


def test_phantoms_are_read_as_by_an_independent_reader(ct_cohort):
    folders = sorted((ct_cohort / "train_images").glob("*/*"))
    assert len(folders) == 9
    for folder in folders:
        array, affine = read(folder)
        expected, expected_affine = read_with_simpleitk(folder)
        np.testing.assert_array_equal(array, expected)
        np.testing.assert_allclose(affine, expected_affine, atol=2e-4)


@pytest.mark.real
def test_real_series_is_read_as_by_an_independent_reader(real_data):
    folder = real_data / "ct" / "example_ct_dicom"  # JPEG 2000; SliceThickness is 3, slices lie 2 mm apart
    array, affine = read(folder)
    expected, expected_affine = read_with_simpleitk(folder)
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_allclose(affine, expected_affine, atol=1e-6)
    assert CTReader().open(folder).spacing == pytest.approx((0.9765625, 0.9765625, 2.0))


def test_rescale_of_each_slice(write_series):
    half = np.floor(HU / 2) * 2  # a slope of 2 holds even values
    stored = lambda n: ((half[:, :, n].T + 1024 + 2 * n) / 2).astype(np.uint16)  # noqa: E731
    folder = write_series(stored=stored, slope=2, intercept=lambda n: -1024 - 2 * n)
    np.testing.assert_array_equal(read(folder)[0], half)


def test_signed_values_without_rescale_are_hounsfield_units(write_series):
    folder = write_series(stored=lambda n: HU[:, :, n].T.astype(np.int16), RescaleSlope=None, RescaleIntercept=None)
    np.testing.assert_array_equal(read(folder)[0], HU)


def test_sign_is_that_of_the_stored_bits(write_series):
    """Some of the challenge's files hold 12 signed bits in 16 without the sign in the upper four."""
    signed = np.clip(HU, -1000, 2000).astype(np.int16)
    folder = write_series(stored=lambda n: signed[:, :, n].T & np.int16(0x0FFF), BitsStored=12, HighBit=11, intercept=0)
    np.testing.assert_array_equal(read(folder)[0], signed)


def test_overlay_in_the_unused_bits_is_not_part_of_the_values(write_series):
    folder = write_series(
        stored=lambda n: (HU[:, :, n].T + 1024).astype(np.uint16) | np.uint16(0x8000 * (n % 2)),
        BitsStored=12,
        HighBit=11,
    )
    np.testing.assert_array_equal(read(folder)[0], HU)


@pytest.mark.parametrize(("kind", "value"), [("SS", -2000), ("US", 63536)])  # some write the tag without a sign
def test_padding_is_air(write_series, kind, value):
    def stored(number):
        pixels = HU[:, :, number].T.astype(np.int16)
        pixels[0, :2] = -2000
        return pixels

    folder = write_series(stored=stored, intercept=0)
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.add_new("PixelPaddingValue", kind, value)
        dataset.save_as(path)
    expected = HU.copy()
    expected[:2, 0] = -1024
    np.testing.assert_array_equal(read(folder)[0], expected)


def test_compressed_series(write_series):
    np.testing.assert_array_equal(read(write_series(syntax=uid.RLELossless))[0], HU)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"RescaleType": "MGML"}, r"its values are MGML by RescaleType"),
        ({"RescaleIntercept": None}, r"lacks RescaleIntercept"),
        ({"RescaleIntercept": None, "RescaleSlope": None}, r"lacks RescaleSlope and RescaleIntercept"),
        ({"RescaleSlope": 0}, r"RescaleSlope \(0028,1053\) is 0"),
        ({"PhotometricInterpretation": "RGB"}, r"\(0028,0004\) is RGB"),
        ({"HighBit": 11}, r"HighBit \(0028,0102\) is 11"),
    ],
)
def test_series_without_hounsfield_units_is_refused(write_series, tags, message):
    folder = write_series(**tags)
    for use in (CTReader().open, read):
        with pytest.raises(DataError, match=message) as error:
            use(folder)
        assert str(folder) in str(error.value) and "Doe" not in str(error.value)


@pytest.mark.parametrize(
    ("tag", "value"),
    [("PixelSpacing", [0.9, v]) for v in [*NO_NUMBERS, 0, 1e-300, -0.7, 0.0099, 10.1]]
    + [("PixelSpacing", [v, 0.7]) for v in [*NO_NUMBERS, 0, 1e-300, -0.7, 0.0099, 10.1]]
    + [("PixelSpacing", v) for v in ("", 0.7, [0.7, 0.7, 0.7])]
    + [("ImagePositionPatient", [v, -20, 5]) for v in NO_NUMBERS]
    + [("ImagePositionPatient", v) for v in ("", [1, 2])]
    + [("ImageOrientationPatient", [v, 0, 0, 0, 1, 0]) for v in [*NO_NUMBERS, 0, 0.5]]
    + [("ImageOrientationPatient", v) for v in ("", [1, 0, 0])]
    + [("RescaleSlope", v) for v in [*NO_NUMBERS, 0, 1e-300, -1e-300, -1, [1, 1], ""]]
    + [("RescaleIntercept", v) for v in [*NO_NUMBERS, [0, 0], ""]]
    + [("Rows", v) for v in (0, 3, 4, 6, 10, 65535)]
    + [("Columns", v) for v in (0, 3, 6, 8, 14, 65535)]
    + [("BitsAllocated", v) for v in (0, 1, 8, 32)]
    + [("BitsStored", v) for v in (0, 17)]
    + [("PixelRepresentation", 2), ("SamplesPerPixel", 3), ("NumberOfFrames", 2)],
)
def test_number_that_cannot_be(write_series, tag, value):
    """In one slice of a series, whatever the others say."""
    folder = write_series()
    path = folder / "slice4.dcm"
    dataset = pydicom.dcmread(path)
    setattr(dataset, tag, value)
    dataset.save_as(path)
    with pytest.raises(DataError) as error:
        read(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("tags", [{"PixelSpacing": [0.009, 0.009]}, {"RescaleSlope": -1}], ids=str)
def test_number_that_cannot_be_in_any_slice(write_series, tags):
    with pytest.raises(DataError, match=next(iter(tags))):
        read(write_series(**tags))


def test_surplus_pixels_of_a_slice(write_series):
    path = write_series() / "slice0.dcm"
    dataset = pydicom.dcmread(path)
    dataset.PixelData += bytes(2)
    dataset.save_as(path)
    with pytest.raises(DataError, match=r"slice0.dcm: holds 72 bytes of pixel data.*5 x 7, 1, 16\) make 70"):
        read(path.parent)


def test_volume_of_one_value(write_series, tmp_path):
    """A slice may be of one, and so may labels be."""
    folder = write_series(stored=lambda n: np.full((5, 7), 1024, np.uint16))
    with pytest.raises(DataError, match="ct: all its values are 0"):
        read(folder)
    assert (CTReader(labels=True).get_data(folder)[0] == 0).all()
    varied = write_series("varied", stored=lambda n: np.full((5, 7), 1024 + (n == 3), np.uint16))
    assert read(varied)[0].sum() == 35
    labels = save_nifti(tmp_path / "labels.nii", array=np.zeros((7, 5, 6)))
    with pytest.raises(DataError, match="labels.nii: all its values are 0"):
        CTReader().get_data(labels)
    assert CTReader(labels=True).get_data(labels)[0].shape == (7, 5, 6)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.995])
def test_slice_that_was_cut_short(write_series, part):
    folder = write_series(stored=lambda n: np.zeros((64, 64), np.uint16))
    path = folder / "slice0.dcm"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(DataError, match=r"slice0.dcm: .*(cut short|cannot be decoded)"):
        read(folder)
    path.write_bytes(content[:500])  # in the header
    with pytest.raises(DataError, match=r"slice0.dcm: .*cut short"):
        CTReader().open(folder)


def test_compressed_slice_that_was_cut_short(write_series):
    folder = write_series(syntax=uid.RLELossless)
    path = folder / "slice0.dcm"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"slice0.dcm: .*(cut short|cannot be decoded)"):
        read(folder)


def test_places_where_there_is_no_ct(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "image.txt").write_text("no CT")
    for name, message in [
        ("empty", "holds no DICOM image among its 0 files"),
        ("missing", "no such file or folder"),
        ("missing.nii.gz", "no such file or folder"),
        ("image.txt", "neither a folder nor a NIfTI file"),
    ]:
        for use in (CTReader().open, read):
            with pytest.raises(DataError, match=message):
                use(tmp_path / name)


AFFINE = np.array([[0.7, 0, 0, -20], [0, 0.9, 0, 30], [0, 0, 2.5, -8], [0, 0, 0, 1]])


def save_nifti(path, affine=AFFINE, array=HU, slope=None):
    image = nibabel.Nifti1Image(array.astype(np.int16), affine)
    if slope:
        image.header.set_slope_inter(slope, 0)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
def test_nifti_has_its_own_values_and_affine(tmp_path, name):
    path = save_nifti(tmp_path / name, array=HU[..., None])
    array, affine = read(path)
    np.testing.assert_array_equal(array, HU)
    np.testing.assert_allclose(affine, AFFINE)
    assert array.flags.c_contiguous and CTReader().open(path).spacing == pytest.approx((0.7, 0.9, 2.5))


def test_nifti_that_is_refused(tmp_path):
    sheared = AFFINE.copy()
    sheared[1, 2] = 0.3
    save_nifti(tmp_path / "sheared.nii", sheared)
    save_nifti(tmp_path / "flat.nii", array=HU[:, :, 0])
    save_nifti(tmp_path / "several.nii", array=np.stack([HU, HU], -1))
    image = nibabel.Nifti1Image(HU, None)
    image.header["pixdim"][1:4] = 1
    nibabel.save(image, tmp_path / "lost.nii")
    nibabel.save(nibabel.Nifti1Image(np.full((3, 3, 3), np.nan, np.float32), AFFINE), tmp_path / "nan.nii")
    (tmp_path / "text.nii").write_text("no NIfTI")
    content = save_nifti(tmp_path / "cut.nii").read_bytes()
    (tmp_path / "cut.nii").write_bytes(content[:-100])
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(content)[:-100])
    for name, message in [
        ("sheared.nii", "not at right angles"),
        ("flat.nii", "a CT has three axes"),
        ("several.nii", "a CT has three axes"),
        ("lost.nii", "left and right are not known"),
        ("nan.nii", "not a number"),
        ("text.nii", "cannot be read as NIfTI"),
        ("cut.nii", "cut short"),
        ("cut.nii.gz", "cut short"),
    ]:
        with pytest.raises(DataError, match=rf"{name}: .*{message}"):
            read(tmp_path / name)
