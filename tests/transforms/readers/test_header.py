"""Numbers in headers that cannot be, pixel data of another length than the header says, and images with nothing on."""

from __future__ import annotations

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid

from pipelines.phantoms.cohort import IN_FILE_FORMAT
from transforms import CTReader, DataError, MaskReader, RadiographReader

NAN, INF = float("nan"), float("inf")
NO_NUMBERS = [NAN, INF, -INF, 1e300, -1e300]
NO_DISTANCES = [*NO_NUMBERS, 1e-300, -1e-300, -0.2, 0.0099, 10.1]
RAMP = (np.arange(20 * 30).reshape(20, 30) * 6).astype(np.uint16)  # 20 rows, 30 columns, 0 to 3594
SHOWN = {"WindowCenter": 1800, "WindowWidth": 3600, "RescaleSlope": 1, "RescaleIntercept": 0}
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


def read(path):
    return RadiographReader("pixels").get_data(path)


def refused(path, *words):
    with pytest.raises(DataError) as error:
        read(path)
    assert all(word in str(error.value) for word in (path.name, *words)), error.value


@pytest.mark.parametrize("value", NO_DISTANCES)
@pytest.mark.parametrize("tag", SPACINGS)
def test_spacing_that_cannot_be(write_dicom, tag, value):
    """Whether pixels would do as the unit or not; 0.01 and 10 mm still are a radiograph's."""
    others = {"PixelSpacing": None} if tag != "PixelSpacing" else {}
    for spacing in ([value, 0.2], [0.2, value], [value, value]):
        path = write_dicom(RAMP, **others, **{tag: spacing})
        refused(path, f"{tag} (0", "0.01 to 10 mm")
        with pytest.raises(DataError, match="0.01 to 10 mm"):
            RadiographReader().get_data(path)
    read(write_dicom(RAMP, **others, **{tag: [0.01, 10]}))


@pytest.mark.parametrize("value", [[0, 0.2], [0.2, 0], 0.2, [0.2, 0.2, 0.2]])
def test_spacing_of_other_than_two_lengths(write_dicom, value):
    refused(write_dicom(RAMP, PixelSpacing=value), "PixelSpacing (0028,0030)")


@pytest.mark.parametrize("value", [[0, 0], [], ""])
def test_spacing_that_is_not_given(write_dicom, value):
    assert read(write_dicom(RAMP, PixelSpacing=value))[1]["spacing_known"] is False


@pytest.mark.parametrize(
    ("tag", "value"),
    [(tag, value) for tag in SHOWN for value in NO_NUMBERS]
    + [("WindowWidth", value) for value in (0, 0.5, 1, -1, 1e-300, -1e-300)]
    + [("RescaleSlope", value) for value in (0, 1e-300, -1e-300)]
    + [("RescaleSlope", [1, 1]), ("RescaleIntercept", [0, 0])],
)
def test_window_and_rescale_that_cannot_be(write_dicom, tag, value):
    refused(write_dicom(RAMP, bits=12, **{**SHOWN, tag: value}), tag)


@pytest.mark.parametrize(
    ("tag", "value", "shown"),
    [  # (value - (center - 0.5)) / (width - 1) + 0.5, PS3.3 C.11.2.1.2
        ("WindowCenter", 0, RAMP / 3599 + 0.5 + 0.5 / 3599),
        ("WindowCenter", -1e-300, RAMP / 3599 + 0.5 + 0.5 / 3599),
        ("WindowCenter", -100, (RAMP + 100.5) / 3599 + 0.5),
        ("RescaleIntercept", -100, (RAMP - 1899.5) / 3599 + 0.5),
        ("RescaleSlope", -1, (-1.0 * RAMP - 1799.5) / 3599 + 0.5),
        ("WindowWidth", "", RAMP / 4095),
        ("WindowCenter", "", RAMP / 4095),
        ("RescaleSlope", "", (RAMP - 1799.5) / 3599 + 0.5),
        ("RescaleIntercept", "", (RAMP - 1799.5) / 3599 + 0.5),
    ],
)
def test_window_and_rescale_that_can_be(write_dicom, tag, value, shown):
    if np.clip(shown, 0, 1).std() == 0:
        refused(write_dicom(RAMP, bits=12, **{**SHOWN, tag: value}), "shown alike")
    else:
        array, _ = read(write_dicom(RAMP, bits=12, **{**SHOWN, tag: value}))
        np.testing.assert_allclose(array, np.clip(shown, 0, 1).T, atol=1e-5)


SIZES = [("Rows", n) for n in (0, 1, 10, 19, 21, 40, 65535)] + [("Columns", n) for n in (0, 1, 15, 29, 31, 60, 65535)]
BITS = [("BitsAllocated", n) for n in (0, 1, 8, 12, 32, 64)] + [("BitsStored", n) for n in (0, 11, 13, 17)]
BITS += [("HighBit", 15), ("PixelRepresentation", 2), ("SamplesPerPixel", 0), ("SamplesPerPixel", 3)]
SYNTAXES = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize(("tag", "value"), [*SIZES, *BITS, ("NumberOfFrames", 2), ("NumberOfFrames", -1)])
def test_pixels_that_do_not_fit_their_header(write_dicom, syntax, tag, value):
    """A row or column more or less, half of them, twice as many: the image would be skewed, or a part of one."""
    path = write_dicom(RAMP, bits=12, syntax=uid.ExplicitVRBigEndian if "Big" in syntax.name else SYNTAXES[1])
    if "Big" not in syntax.name:
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.is_implicit_VR = syntax.is_implicit_VR
        dataset.save_as(path, **IN_FILE_FORMAT)
    array, _ = read(path)
    np.testing.assert_allclose(array, RAMP.T / 4095, atol=1e-6)
    dataset = pydicom.dcmread(path)
    setattr(dataset, tag, value)
    dataset.save_as(path, **IN_FILE_FORMAT)
    refused(path)
    for use in (RadiographReader("pixels").open, lambda path: MaskReader().get_data([path])):
        if tag in ("Rows", "Columns"):
            with pytest.raises(DataError, match=path.name):
                use(path)


@pytest.mark.parametrize(
    ("shape", "length", "fits"),
    [
        *(((5, 5), length, length < 27) for length in (25, 26, 27, 50)),
        *(((4, 5), length, length < 21) for length in (20, 21, 22, 40)),
    ],
)
def test_padding_byte(write_dicom, shape, length, fits):
    """An odd length is made even by a byte, PS3.5 8.1.1; an even one has none, and more is never right."""
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    path = write_dicom(pixels, PixelData=pixels.tobytes().ljust(length, b"\0"))
    if fits:
        np.testing.assert_allclose(read(path)[0], pixels.T / 255, atol=1e-6)
    else:
        refused(path, "bytes of pixel data", f"({shape[0]} x {shape[1]}, 1, 8) make {pixels.size}")


@pytest.mark.parametrize("value", [0, 200, 255])
def test_image_with_nothing_on_it(write_dicom, tmp_path, value):
    pixels = np.full((20, 30), value, np.uint8)
    refused(write_dicom(pixels), f"stored as {value} to {value}", "shown alike")
    Image.fromarray(pixels).save(tmp_path / "flat.png")
    refused(tmp_path / "flat.png", "all its values are", "nothing is on it")
    nibabel.save(nibabel.Nifti1Image(pixels.T[..., None], np.diag([-1, -1, 1, 1])), tmp_path / "flat.nii")
    refused(tmp_path / "flat.nii", "all its values are")
    mask, _ = MaskReader().get_data([tmp_path / "flat.png"])  # a mask may be empty, or full
    assert mask.shape == (30, 20) and (mask == (value > 127)).all()


@pytest.mark.parametrize(
    "tags",
    [
        {"WindowCenter": 9000, "WindowWidth": 10},
        {"WindowCenter": -9000, "WindowWidth": 10},
        {"RescaleSlope": 1, "RescaleIntercept": 9000, "WindowCenter": 100, "WindowWidth": 10},
        {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 4095},
    ],
)
def test_header_that_shows_nothing(write_dicom, tags):
    refused(write_dicom(RAMP, bits=12, **tags), "stored as 0 to 3594", "window, LUT, rescale or padding")


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, 1e-30, 0.0099, 50.1])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_affine_of_nifti_that_cannot_be(tmp_path, axis, value):
    """Of a radiograph along x and y, of a CT along z too."""
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(4, 6, 1), np.diag([-0.2, -0.3, 1, 1]))
    volume = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.diag([-0.2, -0.3, 2, 1]))
    path = tmp_path / "affine.nii"
    for made, reader in ((image, RadiographReader("pixels")), (volume, CTReader())):
        with np.errstate(over="ignore"):
            made.header[f"srow_{'xyz'[axis]}"][axis] = value
        nibabel.save(nibabel.Nifti1Image(made.dataobj, None, made.header), path)
        if axis == 2 and made is image:  # which has no distance between slices
            continue
        with pytest.raises(DataError, match=r"affine\.nii: .*(0.01 to 10|0.1 to 50|in millimetres|decompose affine)"):
            reader.get_data(path)


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_origin_of_nifti_that_cannot_be(tmp_path, value):
    volume = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.diag([-0.2, -0.3, 2, 1]))
    with np.errstate(over="ignore"):
        volume.header["srow_y"][3] = value
    nibabel.save(nibabel.Nifti1Image(volume.dataobj, None, volume.header), tmp_path / "affine.nii")
    with pytest.raises(DataError, match=r"affine\.nii: .*no place in millimetres"):
        CTReader().get_data(tmp_path / "affine.nii")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_voxels_that_cannot_be(tmp_path, value):
    values = np.zeros((2, 3, 4), np.float32)
    values[1, 1, 1] = value
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "voxels.nii")
    with pytest.raises(DataError, match=r"voxels\.nii: .*(not a number|at most 1e\+06)"):
        CTReader().get_data(tmp_path / "voxels.nii")
