"""Reads one radiograph. The one place that owns what a radiograph's pixels mean.

Knows DICOM, PNG, JPEG, NIfTI and MONAI's reader interface; knows no data set and no training.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import torch
from monai.data.image_reader import ImageReader
from nibabel.affines import voxel_sizes
from PIL.Image import Image
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from ..errors import DataError
from ..files.bounds import check_regular, check_size
from ..files.dicom import decode, first_bytes, naming, open_dicom, raw_element
from ..files.nifti import is_nifti, open_nifti, plane_of, voxels
from ..files.picture import full_range, is_output, is_picture, open_picture, picture_levels
from ..files.worker import MEMORY_GB, SECONDS, Limits
from ..grid.levels import LEVELS
from .display import display_levels
from .header import SPACING_TAGS, VIEW_TAGS, check_bits, check_length, check_spacing, check_values, pixel_spacing
from .held import HeldRadiograph
from .metadata import metadata

OPTIONAL_TAGS = ("ModalityLUTSequence", "VOILUTSequence", "RescaleSlope", "RescaleIntercept", "PixelPaddingValue")
REQUIRED_TAGS = ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation")
HEADER_TAGS = [*REQUIRED_TAGS, *SPACING_TAGS, *VIEW_TAGS, "Modality", "NumberOfFrames"]
HEADER_TAGS += ["BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"]

Opened = Dataset | Image | nibabel.Nifti1Image


class RadiographReader(ImageReader):
    """Reads a radiograph for ``monai.transforms.LoadImaged``: single-frame, single-channel DICOM, PNG, JPEG or NIfTI.

    The array is float32 of shape (x, y): columns first, x to the right and y downwards, as MONAI's readers give it.
    Its values are those meant for display, 0 black (air) to 1 white: stored values go through the modality LUT or
    rescale (PS3.3 C.11.1), the first VOI LUT, else the first window (C.11.2), and MONOCHROME1 is inverted
    (C.7.6.3.1.2). Where the file has no VOI LUT and no window, the range that its bits can hold becomes 0 to 1.
    Pixel padding (C.7.5.1.1.2) becomes 0. A PNG or JPEG file is taken as it is shown: its range of 8 or 16 bits becomes
    0 to 1, and colour becomes luminance. Such a file does not say its pixel spacing. A NIfTI file of one slice, as
    viewers and MONAI Label make of radiographs, does not say how its values are to be shown: floating point values in
    0 to 1 are taken as they are, of others the least becomes 0 and the greatest 1.

    The affine maps the index (x, y) to millimetres in the plane of the image. A radiograph has no position in the
    patient, so its origin is the first pixel and its axes are those of the image: LPS identity, as in ITK,
    written as RAS because MONAI's affines are RAS. A NIfTI file's affine is kept as it is. The metadata's
    ``file_shape`` is (x, y), or (x, y, 1) where a NIfTI file has three axes.

    Args:
        unknown_spacing: what to do with a file that has no usable pixel spacing: ``"refuse"`` raises; ``"pixels"``
            goes on with a spacing of 1, so that lengths are pixels and the metadata's ``spacing_known`` is False.
        memory_gb: that decoding may take, in 10^9 bytes: see :class:`transforms.files.worker.Limits`.
        seconds: that decoding may take.
        indexed: whether the array holds integers instead, and the metadata's ``levels`` the value of each, float32: a
            quarter or half of the memory, see :mod:`transforms.grid.levels`. LoadImaged then needs a ``dtype`` of None,
            and FitRadiographd and SaveOverlayd know what to do. A NIfTI file's values stay as they are.

    Raises:
        DataError: from ``get_data``, if the file is missing, is not DICOM, is cut short, is in colour, has several
            frames, has more than 100 megapixels, is compressed into a stream of another size or depth than its header
            says, cannot be decoded, or not within the limits, or has no spacing; if its pixel data are longer than its
            header says, a number in the header cannot be (a spacing below 0.01 or above 10 mm, a window or rescale
            beyond a million), or all of its pixels are shown alike.
    """

    def __init__(
        self,
        unknown_spacing: Literal["refuse", "pixels"] = "refuse",
        memory_gb: float = MEMORY_GB,
        seconds: float = SECONDS,
        indexed: bool = False,
    ):
        super().__init__()
        if unknown_spacing not in ("refuse", "pixels"):
            raise DataError(f"unknown_spacing is {unknown_spacing!r}: give 'refuse' or 'pixels'.")
        self.unknown_spacing = unknown_spacing
        self.indexed = indexed
        self.limits = Limits(memory_gb, seconds)

    def verify_suffix(self, filename: Sequence[os.PathLike | str] | os.PathLike | str) -> bool:
        return True  # DICOM files often have no extension; the content decides

    def read(self, data: Sequence[os.PathLike | str] | os.PathLike | str, **kwargs: Any) -> Path | HeldRadiograph:
        # LoadImage turns any error that `read` raises into the text of its own error, but lets errors of `get_data`
        # through. So the file is opened there.
        paths = [data] if isinstance(data, (str, os.PathLike)) else list(data)
        if len(paths) != 1:
            raise DataError(f"a radiograph is one file, but {len(paths)} were given, the first {paths[:1]}.")
        return paths[0] if isinstance(paths[0], HeldRadiograph) else Path(paths[0])

    def open(self, path: os.PathLike | str) -> tuple[Opened, tuple[float, float] | None]:
        """Open a file, without reading its pixels, and check all that can be checked without them.

        Returns:
            the DICOM header, the picture or the NIfTI image, and the spacing along (x, y) in millimetres or None if
            it is not known.

        Raises:
            DataError: as ``get_data``.
        """
        path = Path(path)
        check_regular(path)
        if is_picture(path):
            if self.unknown_spacing == "refuse":
                raise DataError(
                    f"{path}: a PNG or JPEG file does not say its pixel spacing. Give the DICOM file; or, where pixels "
                    "can be the unit, set unknown_spacing to 'pixels': --unknown_spacing pixels, or "
                    "--reader#unknown_spacing pixels for a bundle."
                )
            picture = open_picture(path)
            if is_output(picture):
                raise DataError(f"{path}: is a mask or an overlay that a prediction wrote. Give the image itself.")
            return picture, None
        if is_nifti(path):
            image = open_nifti(path)
            with naming(path):
                spacing_x, spacing_y = (float(size) for size in voxel_sizes(image.affine)[:2])
                check_spacing((spacing_x, spacing_y), "the spacing in its affine", path)
                plane_of(image, path)
            return image, (spacing_x, spacing_y)
        with naming(path):
            dataset = read_dicom(path)
        return dataset, self._spacing(path, dataset)

    def _open_held(self, held: HeldRadiograph) -> tuple[Dataset | np.ndarray, tuple[float, float] | None]:
        if isinstance(held.opened, Dataset):
            with naming(held.path):
                check_complete(held.opened, held.path)
            return held.opened, self._spacing(held.path, held.opened)
        rows, columns = held.opened.shape
        check_size(rows, columns, held.path)
        if held.spacing is None and self.unknown_spacing == "refuse":
            raise DataError(
                f"{held.path}: its pixel spacing is needed. Give spacing=(rows apart, columns apart), in millimetres."
            )
        return held.opened, held.spacing

    def check(self, path: Path, header: Dataset) -> tuple[float, float] | None:
        """Check all that a DICOM header, of :data:`HEADER_TAGS` at least, says without its pixels.

        Returns:
            the spacing along (x, y) in millimetres, or None if it is not known.

        Raises:
            DataError: as ``get_data``.
        """
        with naming(path):
            _check_is_radiograph(header, path)
        return self._spacing(path, header)

    def _spacing(self, path: Path, header: Dataset) -> tuple[float, float] | None:
        with naming(path):
            spacing = pixel_spacing(header, path)
        if spacing is None and self.unknown_spacing == "refuse":
            raise DataError(
                f"{path}: no pixel spacing: none of {', '.join(SPACING_TAGS)} holds two positive numbers. Add "
                "PixelSpacing (0028,0030) to the file; or, where pixels can be the unit, set unknown_spacing to "
                "'pixels': --unknown_spacing pixels, or --reader#unknown_spacing pixels for a bundle."
            )
        return spacing

    def get_data(self, img: Path | HeldRadiograph) -> tuple[np.ndarray, dict]:
        opened: Opened | np.ndarray
        if isinstance(img, HeldRadiograph):
            (opened, spacing), img = self._open_held(img), img.path
        else:
            opened, spacing = self.open(img)
        more: dict[str, Any] = {}
        with naming(img):
            if isinstance(opened, nibabel.Nifti1Image):
                values = _nifti_values(opened, img, self.limits)
                check_values(values, img)
            else:
                integers, levels = _levels(opened, img, self.limits)
                values, more = (integers, {LEVELS: levels}) if self.indexed else (levels.take(integers), {})
                values = _columns_first(values)
        spacing_x, spacing_y = spacing or (1.0, 1.0)
        affine, shape = np.diag([-spacing_x, -spacing_y, 1.0, 1.0]), values.shape
        if isinstance(opened, nibabel.Nifti1Image):
            affine, shape = np.asarray(opened.affine, float), opened.shape
        return values, {
            **more,
            **metadata(affine, values.shape),
            "file_shape": np.asarray(shape),
            "spacing_known": spacing is not None,
        }


def _levels(opened: Dataset | Image | np.ndarray, path: Path, limits: Limits) -> tuple[np.ndarray, np.ndarray]:
    """Decode a file: integers of shape (rows, columns), and the value of each, float32, 0 black to 1 white."""
    if isinstance(opened, Dataset):
        return display_levels(decode(opened, path, limits), opened, path)
    if isinstance(opened, np.ndarray):
        integers, levels = opened, full_range(opened.dtype)
    else:
        integers, levels = picture_levels(path, limits)
    check_values(levels[[integers.min(), integers.max()]], path)
    return integers, levels


def _columns_first(values: np.ndarray) -> np.ndarray:
    """As (x, y). MONAI makes int32 of uint16, which torch hardly knows: int16 holds what lies below 2^15 as well."""
    if values.dtype == np.uint16 and values.max() < 2**15:
        values = values.view(np.int16)
    return torch.from_numpy(values).T.contiguous().numpy()  # in blocks, where NumPy goes across the whole image


def _nifti_values(opened: nibabel.Nifti1Image, path: Path, limits: Limits) -> np.ndarray:
    """Float32 of shape (x, y), 0 black to 1 white."""
    values = voxels(opened, path, limits).reshape(plane_of(opened, path))
    low, high = values.min(), values.max()
    if low >= 0 and high <= 1 and np.issubdtype(opened.get_data_dtype(), np.floating):
        return values
    return (values - low) / max(high - low, np.finfo(np.float32).tiny)


def read_dicom(path: Path) -> Dataset:
    """Read a DICOM file without its pixels, and check that it can be a radiograph and that it is complete.

    Raises:
        DataError: if it is missing, not DICOM, cut short, in colour or of several frames.
    """
    try:
        dataset = open_dicom(path)
    except DataError:
        raise
    except InvalidDicomError as error:
        raise DataError(f"{path}: not a DICOM file: {first_bytes(path)}. Remove it, or export it again.") from error
    except Exception as error:  # a damaged file can fail in pydicom or struct
        raise DataError(f"{path}: cannot be read as DICOM, it may be cut short ({error}). Copy it again.") from error
    check_complete(dataset, path)
    return dataset


def check_complete(dataset: Dataset, path: Path) -> None:
    """Check that a dataset can be a radiograph and has all its pixels. Optional tags without a value are removed.

    Raises:
        DataError: if not.
    """
    for tag in OPTIONAL_TAGS:  # anonymisers leave them without a value
        if tag in dataset and not dataset[tag].value and dataset[tag].value != 0:
            del dataset[tag]
    # pydicom drops encapsulated pixel data whose end it does not find, so a file cut short arrives without any
    if "PixelData" not in dataset:
        raise DataError(
            f"{path}: has no PixelData (7FE0,0010): it was cut short, or is no image. Copy it again, or leave it out."
        )
    _check_is_radiograph(dataset, path)
    stored = raw_element(dataset, "PixelData")
    there = min(stored.length, path.stat().st_size - stored.value_tell) if stored.value is None else len(stored.value)
    check_length(dataset, there, path)


def _check_is_radiograph(dataset: Dataset, path: Path) -> None:
    missing = [tag for tag in REQUIRED_TAGS if dataset.get(tag) is None]
    missing += [] if "TransferSyntaxUID" in dataset.file_meta else ["TransferSyntaxUID"]
    if missing:
        raise DataError(f"{path}: lacks {', '.join(missing)}, without which no pixel can be read. Export it again.")
    check_size(int(dataset.Rows), int(dataset.Columns), path)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise DataError(f"{path}: has {frames} frames (0028,0008), a radiograph has one. Leave it out.")
    check_bits(dataset, path)
    if dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2") or dataset.SamplesPerPixel != 1:
        raise DataError(
            f"{path}: is in colour (PhotometricInterpretation (0028,0004) is {dataset.PhotometricInterpretation}, "
            f"SamplesPerPixel (0028,0002) {dataset.SamplesPerPixel}); a radiograph is MONOCHROME1 or MONOCHROME2, with "
            "one sample. Leave it out, or export it in grey."
        )
