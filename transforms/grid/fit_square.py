"""Resizes to a square along the first two axes, and back."""

from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor, get_track_meta
from monai.transforms import Resize, SpatialPad
from monai.transforms.utils import scale_affine
from monai.utils import TraceKeys, convert_to_tensor

from .levels import LEVELS

MASK = "nearest-exact"  # the mode of masks; "nearest" takes the pixel below, and so shifts by a part of a pixel


class FitSquare:
    """Resizes x and y so that the longer is ``size``, and pads the shorter with 0 on both sides; other axes stay.

    The array twin of :class:`FitRadiographd` and :class:`FitSlicesd`.

    Args:
        size: of the result.
        axes: of the images: 2, or 3 with slices along the third.
    """

    def __init__(self, size: int, axes: int):
        self.size = size
        self.pad = SpatialPad((size, size, -1)[:axes])

    def __call__(self, image: torch.Tensor, mode: str) -> torch.Tensor:
        """A MetaTensor of shape (C, x, y, ...) as (C, size, size, ...), float32, resized as MONAI's Resize does.

        Where an image, not a mask, gets smaller it is smoothed before.
        """
        shape = (*self.shape(image), *image.shape[3:])
        smaller = max(image.shape[1:3]) > self.size
        return self.pad(Resize(shape, mode=mode, anti_aliasing=mode != MASK and smaller)(image))

    def shape(self, image: torch.Tensor) -> tuple[int, int]:
        """Of the result along x and y, before it is padded."""
        x, y = image.shape[1:3]
        scale = self.size / max(x, y)
        return max(1, round(x * scale)), max(1, round(y * scale))  # the inverse of nothing is nothing

    def place(self, image: torch.Tensor, resized: np.ndarray) -> torch.Tensor:
        """What was resized by other means, as :meth:`__call__` gives it: padded, and to be inverted by MONAI's Resize.

        Args:
            image: of shape (1, x, y).
            resized: of the shape of :meth:`shape`, float32.
        """
        result = convert_to_tensor(resized[None], track_meta=get_track_meta())
        if isinstance(result, MetaTensor):
            before, after = tuple(image.shape[1:]), resized.shape
            settings = {"mode": "bilinear", "align_corners": TraceKeys.NONE, "dtype": "float32", "new_dim": 0}
            resize = Resize(after, mode="bilinear")
            result.copy_meta_from(
                resize.track_transform_meta(
                    image,
                    sp_size=after,
                    affine=scale_affine(before, after),
                    extra_info=settings,
                    orig_size=before,
                    transform_info=resize.get_transform_info(),
                )
            )
            result.meta.pop(LEVELS, None)  # of what it no longer holds
        return self.pad(result)

    def inverse(self, image: MetaTensor) -> torch.Tensor:
        """Back to the shape before, as the tensor remembers it, in the mode that it had or that Invertd has set."""
        unpadded = self.pad.inverse(image)
        resize = Resize(self.size)  # what it did is noted in the tensor
        transform = resize.pop_transform(unpadded, check=False)
        if transform[TraceKeys.EXTRA_INFO]["mode"] == "nearest":
            transform[TraceKeys.EXTRA_INFO]["mode"] = MASK
        return resize.inverse_transform(unpadded, transform)
