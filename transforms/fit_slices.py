"""Brings the slices of volumes to one square size."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform, Resize, SpatialPad
from monai.utils import TraceKeys, ensure_tuple_rep


class FitSlicesd(MapTransform, InvertibleTransform):
    """Resizes the slices along z so that their longer side is ``size``, and pads the shorter with 0 on both sides.

    The number of slices stays. MONAI's Resized keeps an aspect ratio only over all three axes. Slices that have the
    size already, as most CT have that of 512, pass unchanged. Invertible, in the mode given or as Invertd sets it.

    Args:
        keys: MetaTensors of shape (C, x, y, z).
        size: of the result, (C, size, size, z), float32.
        mode: for each key, ``"trilinear"`` or ``"nearest-exact"``, see :class:`monai.transforms.Resize`. Where the
            first makes slices smaller they are smoothed before.
    """

    def __init__(self, keys: KeysCollection, size: int, mode: Sequence[str] | str):
        super().__init__(keys)
        self.size = size
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.pad = SpatialPad((size, size, -1))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key, mode in self.key_iterator(d, self.mode):
            x, y, z = d[key].shape[1:]
            scale = self.size / max(x, y)
            smooth = mode != "nearest-exact" and scale < 1
            # at least 1 pixel: the inverse of nothing is nothing
            resize = Resize((max(1, round(x * scale)), max(1, round(y * scale)), z), mode=mode, anti_aliasing=smooth)
            d[key] = self.pad(resize(d[key]))
        return d

    def inverse(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        for key in self.key_iterator(d):
            resize = Resize(self.size)  # what it did is noted in the tensor
            unpadded = self.pad.inverse(d[key])
            transform = resize.pop_transform(unpadded, check=False)
            if transform[TraceKeys.EXTRA_INFO]["mode"] == "nearest":
                # what Invertd sets takes the pixel below, and so shifts what is brought back by a part of a pixel
                transform[TraceKeys.EXTRA_INFO]["mode"] = "nearest-exact"
            d[key] = resize.inverse_transform(unpadded, transform)
        return d
