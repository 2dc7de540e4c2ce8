"""Resizes to a square along the first two axes, and back."""

from __future__ import annotations

import torch
from monai.data import MetaTensor
from monai.transforms import Resize, SpatialPad
from monai.utils import TraceKeys

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
        x, y, *others = image.shape[1:]
        scale = self.size / max(x, y)
        # at least 1 pixel: the inverse of nothing is nothing
        shape = (max(1, round(x * scale)), max(1, round(y * scale)), *others)
        resized = Resize(shape, mode=mode, anti_aliasing=mode != MASK and scale < 1)(image)
        return self.pad(resized)

    def inverse(self, image: MetaTensor) -> torch.Tensor:
        """Back to the shape before, as the tensor remembers it, in the mode that it had or that Invertd has set."""
        unpadded = self.pad.inverse(image)
        resize = Resize(self.size)  # what it did is noted in the tensor
        transform = resize.pop_transform(unpadded, check=False)
        if transform[TraceKeys.EXTRA_INFO]["mode"] == "nearest":
            transform[TraceKeys.EXTRA_INFO]["mode"] = MASK
        return resize.inverse_transform(unpadded, transform)
