"""Reads a mask that was drawn on a radiograph."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data.image_reader import ImageReader

from ..errors import DataError
from ..files.bounds import check_regular
from ..files.dicom import decode, naming, open_dicom
from ..files.nifti import is_nifti, open_nifti, plane_of, voxels
from ..files.picture import grey_values, is_picture
from ..files.worker import MEMORY_GB, SECONDS, Limits
from .header import check_length
from .metadata import PICTURE_AFFINE, metadata


class MaskReader(ImageReader):
    """Reads a mask from a PNG, JPEG, NIfTI or DICOM file, or the union of several, for ``LoadImaged``.

    The array is uint8 of shape (x, y), 1 inside and 0 outside. The left and the right lung are published as two files
    in some sets: they are given as a list.

    PNG and JPEG masks are grey; one that holds 0 and 1 and nothing else is a label map, as drawing tools write it. In
    NIfTI and in DICOM (as MONAI Label saves the masks of DICOM images) everything but 0 is inside.

    Args:
        threshold: of the grey values, on the scale of 8 bits: above it is inside. Masks that were resized or saved as
            JPEG are grey at their edges.
        memory_gb: that decoding a file may take, in 10^9 bytes: see :class:`transforms.files.worker.Limits`.
        seconds: that decoding a file may take.

    Raises:
        DataError: from ``get_data``, if a file is missing, is of another kind or is damaged, if the pixel data of a
            DICOM file are longer than its header says, if several are not of one size, or if a grey one has values
            above 1 but none above the threshold.
    """

    def __init__(self, threshold: float = 127, memory_gb: float = MEMORY_GB, seconds: float = SECONDS):
        super().__init__()
        self.threshold = threshold
        self.limits = Limits(memory_gb, seconds)

    def verify_suffix(self, filename: Sequence[os.PathLike | str] | os.PathLike | str) -> bool:
        return True

    def read(self, data: Sequence[os.PathLike | str] | os.PathLike | str, **kwargs: Any) -> list[Path]:
        # opened in get_data, since LoadImage swallows what `read` raises
        return [Path(data)] if isinstance(data, (str, os.PathLike)) else [Path(path) for path in data]

    def get_data(self, img: Sequence[Path]) -> tuple[np.ndarray, dict]:
        masks = [self._mask(path) for path in img]
        for path, mask in zip(img, masks, strict=True):
            if mask.shape != masks[0].shape:
                raise DataError(
                    f"{path}: is of {mask.shape[::-1]} pixels, {img[0]} of {masks[0].shape[::-1]}: masks of one image "
                    "must be of one size. Correct them, or leave out the image."
                )
        union = np.ascontiguousarray(np.any(masks, axis=0).T.astype(np.uint8))
        return union, metadata(PICTURE_AFFINE, union.shape)

    def _mask(self, path: Path) -> np.ndarray:
        """A file's mask, boolean of shape (rows, columns)."""
        check_regular(path)
        if is_nifti(path):
            image = open_nifti(path)
            plane = plane_of(image, path)
            return voxels(image, path, self.limits).reshape(plane).T > 0
        if not is_picture(path):
            return self._dicom_mask(path)
        values = grey_values(path, self.limits) * 255
        if set(np.unique(values)) == {0, 1}:
            return values > 0
        if 0 < values.max() <= self.threshold:
            raise DataError(
                f"{path}: its greatest value is {values.max():.3g} of 255, none is above the threshold "
                f"{self.threshold:g}: it would be read as empty. Save it with 0 outside and 255 inside."
            )
        return values > self.threshold

    def _dicom_mask(self, path: Path) -> np.ndarray:
        try:
            dataset = open_dicom(path)
        except DataError:
            raise
        except Exception as error:
            raise DataError(
                f"{path}: a mask must be a PNG, JPEG, NIfTI or DICOM file, and this begins as none. Convert it."
            ) from error
        with naming(path):
            if "PixelData" in dataset:  # and not floating point values, of which pydicom knows the length itself
                check_length(dataset, len(dataset.PixelData), path)
            return decode(dataset, path, self.limits) > 0
