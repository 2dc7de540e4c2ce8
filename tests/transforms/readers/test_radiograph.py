"""Reading radiographs: what pixels mean, geometry, and what is refused."""

from __future__ import annotations

import nibabel
import numpy as np
import pydicom
import pytest
from monai.transforms import Compose, LoadImage, LoadImaged
from PIL import Image
from pydicom.dataset import Dataset

try:
    from pydicom.pixels import apply_windowing
except ImportError:  # pydicom 2
    from pydicom.pixel_data_handlers.util import apply_windowing

from pipelines.phantoms.cohort import IN_FILE_FORMAT
from transforms import DataError, RadiographReader, plain_error

RAMP = (np.arange(20 * 30).reshape(20, 30) * 6).astype(np.uint16)  # 20 rows, 30 columns, 0 to 3594


def read(path, **kwargs):
    """The array (x, y) and its metadata, through MONAI's own LoadImage."""
    image = LoadImage(reader=RadiographReader(**kwargs), image_only=True)(path)
    return image.numpy(), image.meta


def test_array_is_columns_first_with_spacing_on_the_right_axes(write_dicom):
    array, meta = read(write_dicom(RAMP, bits=12))  # PixelSpacing is row spacing 0.4, column spacing 0.2
    assert array.shape == (30, 20)
    np.testing.assert_allclose(array, RAMP.T / 4095, atol=1e-6)
    np.testing.assert_allclose(meta["affine"].numpy(), np.diag([-0.2, -0.4, 1, 1]))


def test_geometry_is_that_of_an_independent_reader(write_dicom):
    sitk = pytest.importorskip("SimpleITK")
    path = write_dicom(RAMP, bits=12)
    image = sitk.ReadImage(str(path))
    _, meta = read(path)
    lps_to_ras = np.diag([-1, -1])
    theirs = lps_to_ras @ np.diag(image.GetSpacing()[:2])
    np.testing.assert_allclose(meta["affine"].numpy()[:2, :2], theirs)


def test_monochrome1_is_inverted(write_dicom):
    array, _ = read(write_dicom(RAMP, bits=12, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_allclose(array, 1 - RAMP.T / 4095, atol=1e-6)


def test_signed_pixels_with_rescale(write_dicom):
    pixels = RAMP.astype(np.int16) - 2000
    array, _ = read(write_dicom(pixels, bits=12, RescaleSlope=2, RescaleIntercept=-100))
    # 12 signed bits hold -2048 to 2047, after the rescale -4196 to 3994
    np.testing.assert_allclose(array, ((pixels.T * 2.0 - 100) + 4196) / 8190, atol=1e-6)


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_window_is_as_pydicom_applies_it(write_dicom, function):
    tags = {"WindowCenter": [1800, 9], "WindowWidth": [900, 9]} | ({"VOILUTFunction": function} if function else {})
    path = write_dicom(RAMP, bits=12, **tags)
    windowed = apply_windowing(RAMP, pydicom.dcmread(path))
    array, _ = read(path)
    np.testing.assert_allclose(array, windowed.T / 4095, atol=1e-6)


def test_voi_lut_comes_before_the_window(write_dicom):
    lut = Dataset()
    lut.LUTDescriptor = [4, 0, 8]
    lut.add_new("LUTData", "OW", np.array([0, 51, 102, 255], "<u2").tobytes())
    pixels = np.array([[0, 1, 2, 3, 7]], np.uint8)
    path = write_dicom(pixels, VOILUTSequence=[lut], WindowCenter=1, WindowWidth=2)
    array, _ = read(path)
    np.testing.assert_allclose(array[:, 0], np.array([0, 51, 102, 255, 255]) / 255, atol=1e-6)


def test_padding_is_black_also_in_monochrome1(write_dicom):
    pixels = np.array([[0, 0, 10, 200]], np.uint8)
    array, _ = read(write_dicom(pixels, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0))
    np.testing.assert_allclose(array[:, 0], [0, 0, 1 - 10 / 255, 1 - 200 / 255], atol=1e-6)


LUT = Dataset()
LUT.LUTDescriptor = [4096, 0, 12]
LUT.add_new("LUTData", "OW", np.random.default_rng(0).integers(0, 4096, 4096).astype("<u2").tobytes())


@pytest.mark.parametrize(
    ("pixels", "tags"),
    [
        (RAMP, {}),
        (RAMP, {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 6, "PixelPaddingRangeLimit": 60}),
        (RAMP, {"VOILUTSequence": [LUT]}),
        (RAMP, {"WindowCenter": 1800, "WindowWidth": 900, "VOILUTFunction": "SIGMOID"}),
        (RAMP.astype(np.int16) - 2000, {"RescaleSlope": 2, "RescaleIntercept": -100}),
        ((RAMP >> 4).astype(np.uint8), {"bits": 8}),
        (RAMP * np.uint16(18), {"bits": 16}),
        (
            (RAMP.astype(np.int32) * 18 - 32768).astype(np.int16),
            {"bits": 16},
        ),  # more between its ends than int16 holds
        (RAMP.astype(np.uint32) * 100_000, {"bits": 32}),
        (RAMP.astype(np.int32) * 100_000 - 100_000_000, {"bits": 32, "WindowCenter": 1e5, "WindowWidth": 1e6}),
    ],
    ids=str,
)
def test_integers_and_the_value_of_each(write_dicom, pixels, tags):
    """The file's own where none lies below 0, and the value of each is exactly that which is given otherwise."""
    path = write_dicom(pixels, **{"bits": 12, **tags})
    integers, meta = RadiographReader(indexed=True).get_data(path)
    values, _ = RadiographReader().get_data(path)
    assert integers.dtype.kind in "ui" and integers.min() >= 0 and integers.shape == values.shape == (30, 20)
    assert integers.dtype.itemsize <= pixels.dtype.itemsize * 2 and meta["levels"].dtype == np.float32
    np.testing.assert_array_equal(meta["levels"][integers], values)
    if tags.get("bits") != 32 and pixels.min() >= 0:
        np.testing.assert_array_equal(integers, pixels.T)


def test_integers_of_pictures(tmp_path):
    for name, pixels in (("a.png", GREY), ("b.png", np.array([[0, 40000, 65535]], np.uint16))):
        Image.fromarray(pixels).save(tmp_path / name)
        integers, meta = RadiographReader("pixels", indexed=True).get_data(tmp_path / name)
        np.testing.assert_array_equal(integers, pixels.T)
        np.testing.assert_allclose(meta["levels"][integers], pixels.T / np.iinfo(pixels.dtype).max, atol=1e-7)


def test_image_of_two_values_whose_least_and_greatest_are_shown_alike(write_dicom):
    """It is not refused: something lies between."""
    pixels = np.array([[0, 100, 200, 200]], np.uint8)
    array, _ = read(write_dicom(pixels, PixelPaddingValue=200))
    np.testing.assert_allclose(array[:, 0], [0, 100 / 255, 0, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("tags", "spacing"),
    [
        ({"PixelSpacing": None, "ImagerPixelSpacing": [0.3, 0.1]}, (0.1, 0.3)),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.3, 0.1]}, (0.1, 0.3)),
        ({"ImagerPixelSpacing": [0.3, 0.1]}, (0.2, 0.4)),
        ({"PixelSpacing": None, "NominalScannedPixelSpacing": [0.5, 0.6]}, (0.6, 0.5)),
    ],
)
def test_spacing_comes_from_the_most_trusted_tag(write_dicom, tags, spacing):
    _, meta = read(write_dicom(RAMP, **tags))
    np.testing.assert_allclose(np.diag(meta["affine"].numpy())[:2], [-spacing[0], -spacing[1]])


def test_unknown_spacing_is_refused_unless_pixels_are_asked_for(write_dicom):
    path = write_dicom(RAMP, PixelSpacing=None)
    with pytest.raises(DataError, match=r"image\.dcm: no pixel spacing.*PixelSpacing.*--unknown_spacing pixels"):
        RadiographReader().get_data(path)
    _, meta = read(path, unknown_spacing="pixels")
    assert meta["spacing_known"] is False
    np.testing.assert_allclose(np.diag(meta["affine"].numpy()), [-1, -1, 1, 1])
    with pytest.raises(ValueError, match="'refuse' or 'pixels'"):
        RadiographReader(unknown_spacing="guess")


def test_patient_does_not_get_into_the_metadata(write_dicom):
    _, meta = read(write_dicom(RAMP))
    assert "Doe" not in str(meta) and "4711" not in str(meta)


# Pictures and NIfTI ---------------------------------------------------------------------------------------------------


GREY = np.array([[0, 127, 128], [255, 0, 0]], np.uint8)  # (rows, columns)


def save(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def shown(path):
    """The values of a file without spacing, of shape (rows, columns)."""
    return read(path, unknown_spacing="pixels")[0].T


def test_grey_of_8_and_16_bits(tmp_path):
    array, meta = read(save(tmp_path / "a.png", GREY), unknown_spacing="pixels")
    np.testing.assert_allclose(array.T, GREY / 255, atol=1e-6)
    assert meta["spacing_known"] is False
    deep = np.array([[0, 1000, 65535]], np.uint16)
    np.testing.assert_allclose(shown(save(tmp_path / "b.png", deep)), deep / 65535, atol=1e-6)


def test_picture_without_spacing_is_refused_unless_pixels_will_do(tmp_path):
    path = save(tmp_path / "a.png", GREY)
    with pytest.raises(DataError, match="a.png: a PNG or JPEG file does not say its pixel spacing.*unknown_spacing"):
        RadiographReader().open(path)


def test_radiographs_in_nifti(tmp_path):
    """Floating point values of 0 to 1 stay; others are stretched. The file's affine and shape are known afterwards."""
    affine = np.diag([-0.2, -0.3, 1, 1])
    values = np.array([[0.1, 0.5, 0.7]], np.float32)  # one row
    nibabel.save(nibabel.Nifti1Image(values.T[..., None], affine), tmp_path / "a.nii.gz")
    array, meta = read(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(array.T, values)
    np.testing.assert_allclose(meta["affine"], affine, atol=1e-6)
    assert meta["file_shape"].tolist() == [3, 1, 1] and meta["spacing_known"] is True
    nibabel.save(nibabel.Nifti1Image(np.array([[-10, 0, 30]], np.int16).T, affine), tmp_path / "b.nii")
    np.testing.assert_allclose(shown(tmp_path / "b.nii"), [[0, 0.25, 1]], atol=1e-6)
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 2, 4), np.int16), affine), tmp_path / "c.nii")
    with pytest.raises(DataError, match=r"c.nii: has the shape \(3, 2, 4\); a radiograph has two axes"):
        read(tmp_path / "c.nii")


# What is refused -----------------------------------------------------------------------------------------------------


def refused(path, match):
    with pytest.raises(DataError, match=match) as error:
        RadiographReader().get_data(path)
    assert path.name in str(error.value)


def test_missing_file(tmp_path):
    refused(tmp_path / "gone.dcm", "no such file")


def test_web_page_named_dcm(tmp_path):
    page = tmp_path / "page.dcm"
    page.write_text("<!DOCTYPE html><html><body>not found</body></html>" * 10)
    refused(page, "not a DICOM file: it begins with b'<!DOCTYPE html")


def test_empty_file(tmp_path):
    path = tmp_path / "empty.dcm"
    path.touch()
    refused(path, "empty")


def test_truncated_uncompressed_file(write_dicom):
    path = write_dicom(RAMP)
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, "cut short: 1100 of 1200 bytes")


def test_truncated_compressed_file(cohort, tmp_path):
    whole = next((cohort / "stage_2_train_images").glob("*.dcm")).read_bytes()
    for part in (0.5, 0.99):
        path = tmp_path / "short.dcm"
        path.write_bytes(whole[: int(part * len(whole))])
        refused(path, "PixelData.*cut short")


def test_truncated_in_the_header(write_dicom):
    path = write_dicom(RAMP)
    path.write_bytes(path.read_bytes()[:400])
    refused(path, "cut short")


def test_colour_and_frames(write_dicom):
    refused(write_dicom(RAMP, PhotometricInterpretation="RGB"), "in colour")
    refused(write_dicom(RAMP, PhotometricInterpretation="PALETTE COLOR"), "in colour")
    refused(write_dicom(RAMP, NumberOfFrames=2), "2 frames")


def test_window_without_width(write_dicom):
    refused(write_dicom(RAMP, WindowCenter=100, WindowWidth=0), "WindowWidth")


@pytest.mark.parametrize(
    "tags",
    [{"VOILUTSequence": []}, {"ModalityLUTSequence": []}, {"RescaleSlope": None, "RescaleIntercept": None}],
    ids=lambda tags: next(iter(tags)),
)
def test_empty_optional_tags_are_as_if_they_were_not_there(write_dicom, tags):
    path = write_dicom(RAMP, bits=12, WindowCenter=2000, WindowWidth=4000)
    expected = read(path)[0]
    dataset = pydicom.dcmread(path)
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    dataset.save_as(path, **IN_FILE_FORMAT)
    np.testing.assert_array_equal(read(path)[0], expected)


def test_rescale_needs_both_of_its_tags(write_dicom):
    """As pydicom has it: an intercept alone is no rescale."""
    np.testing.assert_allclose(read(write_dicom(RAMP, bits=12, RescaleIntercept=-1024))[0], RAMP.T / 4095, atol=1e-6)


def test_whatever_is_wrong_with_a_header_is_told_with_the_file_s_name(write_dicom):
    item = Dataset()
    item.LUTDescriptor = [4, 0, 8]
    refused(write_dicom(RAMP, VOILUTSequence=[item]), "its header cannot be used")  # a LUT without data
    path = write_dicom(RAMP)
    path.write_bytes(path.read_bytes().replace(b"0.4\\0.2", b"abc\\0.2"))
    refused(path, "its header cannot be used")


def test_error_survives_the_transforms_that_wrap_it(tmp_path):
    transform = Compose([LoadImaged(keys="image", reader=RadiographReader())])
    with pytest.raises(RuntimeError) as error:
        transform({"image": tmp_path / "gone.dcm"})
    assert "gone.dcm: no such file" in str(plain_error(error.value))


# Real files ----------------------------------------------------------------------------------------------------------

GREY_SINGLE_FRAME = {  # those of the folder that hold one grey frame of integers, with their size (columns, rows)
    "693_UNCI.dcm": (512, 512),
    "JLSL_16_15_1_1F.dcm": (128, 128),
    "JPEG2000_UNC.dcm": (256, 1024),
    "MR-SIEMENS-DICOM-WithOverlays.dcm": (484, 484),
    "MR2_J2KI.dcm": (1024, 1024),
    "MR2_J2KR.dcm": (1024, 1024),
    "RG1_J2KI.dcm": (1841, 1955),
    "RG3_J2KI.dcm": (1760, 1760),
    "explicit_VR-UN.dcm": (512, 512),
    "mlut_18.dcm": (512, 512),
    "vlut_04.dcm": (512, 512),
}


@pytest.mark.real
def test_every_real_file_is_read_or_refused_with_its_name(real_data):
    for path in sorted((real_data / "dicom").glob("*.dcm")):
        reader = RadiographReader(unknown_spacing="pixels")
        if path.name in GREY_SINGLE_FRAME:
            array, _ = reader.get_data(path)
            assert array.shape == GREY_SINGLE_FRAME[path.name], path.name
            assert array.min() >= 0 and array.max() <= 1 and array.std() > 0, path.name
        else:
            with pytest.raises(DataError, match=path.name):
                reader.get_data(path)


@pytest.mark.real
@pytest.mark.parametrize("name", ["RG1_J2KI.dcm", "RG3_J2KI.dcm"])
def test_real_radiographs_without_usable_spacing_are_refused(real_data, name):
    with pytest.raises(DataError, match="no pixel spacing"):
        RadiographReader().get_data(real_data / "dicom" / name)


@pytest.mark.real
def test_real_challenge_file_is_as_another_library_decodes_it(real_data):
    sitk = pytest.importorskip("SimpleITK")
    (path,) = (real_data / "rsna").glob("1.2*.dcm")
    array, meta = RadiographReader().get_data(path)
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0]  # (rows, columns)
    np.testing.assert_allclose(array.T, theirs / 255, atol=2 / 255)  # decoders of JPEG may differ by rounding
    np.testing.assert_allclose(np.diag(meta["affine"]), [-0.168, -0.168, 1, 1])


@pytest.mark.real
def test_real_monochrome1_file_is_the_negative(real_data):
    (positive,) = (real_data / "rsna").glob("1.2*.dcm")
    array, _ = RadiographReader().get_data(positive)
    inverted, _ = RadiographReader().get_data(real_data / "rsna" / "Fake_MONOHR1.dcm")
    np.testing.assert_allclose(inverted, 1 - array, atol=1e-6)
