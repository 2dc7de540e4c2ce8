"""Brings the slices of volumes to one square size."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import ensure_tuple_rep

from .fit_square import FitSquare


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
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.fit = FitSquare(size, axes=3)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key, mode in self.key_iterator(d, self.mode):
            d[key] = self.fit(d[key], mode)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.fit.inverse(d[key])
        return d
