"""Reads a picture whose values are labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data.image_reader import ImageReader

from ..errors import DataError
from ..files.picture import stored_values
from ..files.worker import MEMORY_GB, SECONDS, Limits
from .metadata import PICTURE_AFFINE, metadata


class LabelMapReader(ImageReader):
    """Reads a PNG file whose values, or whose palette's indices, are labels, for ``LoadImaged``.

    The array is of shape (x, y) and of the file's own type.

    Args:
        memory_gb: that decoding may take, in 10^9 bytes: see :class:`transforms.files.worker.Limits`.
        seconds: that decoding may take.

    Raises:
        DataError: from ``get_data``, if the file is missing, is no picture, is in colour, is damaged, or cannot be
            decoded within the limits.
    """

    def __init__(self, memory_gb: float = MEMORY_GB, seconds: float = SECONDS):
        super().__init__()
        self.limits = Limits(memory_gb, seconds)

    def verify_suffix(self, filename: Sequence[os.PathLike | str] | os.PathLike | str) -> bool:
        return True

    def read(self, data: Sequence[os.PathLike | str] | os.PathLike | str, **kwargs: Any) -> Path:
        # opened in get_data, since LoadImage swallows what `read` raises
        return Path(data if isinstance(data, (str, os.PathLike)) else data[0])

    def get_data(self, img: Path) -> tuple[np.ndarray, dict]:
        values = stored_values(img, self.limits)
        if values.ndim != 2:
            raise DataError(f"{img}: is in colour; labels are grey, or a palette's indices. Save it in grey.")
        labels = np.ascontiguousarray(values.T)
        return labels, metadata(PICTURE_AFFINE, labels.shape)
