"""Brings radiographs, and masks drawn on them, to the grid and the grey values that a network takes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

import torch
from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform, ScaleIntensityRangePercentiles
from monai.utils import ensure_tuple_rep

from .fit_square import MASK, FitSquare


class FitRadiographd(MapTransform, InvertibleTransform):
    """Scales the grey values, resizes so that the longer side is ``size``, and pads the shorter with 0 on both sides.

    The one place that says how a radiograph becomes what a network sees: training, evaluation and inference all name
    it with the same settings. Invertible, in the mode given or as Invertd sets it; grey values stay as they are scaled.

    Args:
        keys: MetaTensors of shape (1, x, y).
        size: of the result, (1, size, size), float32.
        percentiles: (lower, upper) of the image's own values, 0 to 100: they become 0 and 1, and what lies beyond is
            clipped. Masks are not scaled.
        mode: for each key, ``"bilinear"`` for images, which are smoothed before they get smaller, or
            ``"nearest-exact"`` for masks; see :class:`monai.transforms.Resize`.
    """

    def __init__(self, keys: KeysCollection, size: int, percentiles: Sequence[float], mode: Sequence[str] | str):
        super().__init__(keys)
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        lower, upper = percentiles
        self.scale = ScaleIntensityRangePercentiles(lower, upper, b_min=0.0, b_max=1.0, clip=True)
        self.fit = FitSquare(size, axes=2)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key, mode in self.key_iterator(d, self.mode):
            image = d[key] if mode == MASK else self.scale(d[key])
            d[key] = self.fit(cast(torch.Tensor, image), mode)  # which it stays when scaled
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.fit.inverse(d[key])
        return d
