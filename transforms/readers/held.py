"""A radiograph that a program holds in memory, to be given to the reader in the place of a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset

from ..errors import DataError
from .header import check_spacing, other_kind

FULL_SCALE = 65535  # of 16 bits


class HeldRadiograph:
    """A radiograph in memory, for :class:`RadiographReader`. It is not changed, and nothing of it goes to a disk.

    Args:
        image: a pydicom Dataset, whose pixels are read as those of its file would be; or an array of shape
            (rows, columns), as it is to be shown: integers without a sign, of 8 or 16 bits, 0 black to the greatest
            white; or floating point, 0 black to 1 white, of which 16 bits are kept.
        spacing: of an array, the distance between rows and between columns in millimetres, in DICOM's order, or None if
            it is not known. A Dataset says its own.
        name: what errors call it.

    Raises:
        DataError: if it is neither, of another modality, no frontal view by its header, or an array of another shape,
            type or range; or if the spacing cannot be.
    """

    def __init__(
        self, image: Dataset | np.ndarray, spacing: Sequence[float] | None = None, name: str = "the image in memory"
    ):
        self.path = Path(name)  # there is no such file: readers name what they read by a path
        self.spacing: tuple[float, float] | None = None  # along (x, y), of an array
        if isinstance(image, Dataset):
            if spacing is not None:
                raise DataError(f"{name}: is DICOM, which says its spacing itself. Leave out spacing.")
            if why_not := other_kind(image):
                raise DataError(f"{name}: {why_not}.")
            self.opened: Dataset | np.ndarray = _own(image)
        else:
            self.opened = _integers(image, name)
            if spacing is not None:
                self.spacing = _x_y(spacing, name)

    def __str__(self) -> str:
        return str(self.path)


def _own(dataset: Dataset) -> Dataset:
    own = dataset[:]  # the elements are shared, what holds them is not
    own.file_meta = getattr(dataset, "file_meta", FileMetaDataset())
    if "PixelData" in own:
        own.PixelData  # noqa: B018  # read now if pydicom has put it off
    return own


def _integers(image: np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(image)
    if array.ndim != 2:
        raise DataError(f"{name}: has the shape {array.shape}; a radiograph has two axes, (rows, columns).")
    if not array.size:
        raise DataError(f"{name}: has no pixel.")
    if np.issubdtype(array.dtype, np.floating):
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):  # nor is what is not a number
            raise DataError(
                f"{name}: its values are {low:g} to {high:g}; floating point must be from 0, black, to 1, white. Scale "
                "it, or give the DICOM dataset, which says how it is to be shown."
            )
        return np.round(array * FULL_SCALE).astype(np.uint16)
    if array.dtype.newbyteorder("=") not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise DataError(f"{name}: is of {array.dtype}; it must be of uint8, uint16, or floating point in 0 to 1.")
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _x_y(spacing: Sequence[float], name: str) -> tuple[float, float]:
    try:
        rows_apart, columns_apart = (float(distance) for distance in spacing)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name}: its spacing is {spacing!r}; it must be two numbers, (rows apart, columns apart)."
        ) from error
    check_spacing((columns_apart, rows_apart), "spacing", Path(name))
    return columns_apart, rows_apart
