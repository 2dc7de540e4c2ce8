"""Brings radiographs, and masks drawn on them, to the grid and the grey values that a network takes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import ensure_tuple_rep

from .fit_square import MASK, FitSquare
from .levels import grey_levels, percentiles_of, resample


class FitRadiographd(MapTransform, InvertibleTransform):
    """Scales the grey values, resizes so that the longer side is ``size``, and pads the shorter with 0 on both sides.

    The one place that says how a radiograph becomes what a network sees: training, evaluation and inference all name
    it with the same settings. Invertible, in the mode given or as Invertd sets it; grey values stay as they are scaled.

    Args:
        keys: MetaTensors of shape (1, x, y); images hold values, or integers and the value of each in the metadata, as
            ``RadiographReader(indexed=True)`` gives them.
        size: of the result, (1, size, size), float32.
        percentiles: (lower, upper) of the image's own values, 0 to 100: they become 0 and 1, and what lies beyond is
            clipped. Masks are not scaled.
        mode: for each key, ``"bilinear"`` for images, see :func:`transforms.grid.levels.resample`, or
            ``"nearest-exact"`` for masks, see :class:`monai.transforms.Resize`.
    """

    def __init__(self, keys: KeysCollection, size: int, percentiles: Sequence[float], mode: Sequence[str] | str):
        super().__init__(keys)
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.percentiles = tuple(percentiles)
        self.fit = FitSquare(size, axes=2)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key, mode in self.key_iterator(d, self.mode):
            d[key] = self.fit(d[key], mode) if mode == MASK else self._scaled(d[key])
        return d

    def _scaled(self, image: torch.Tensor) -> torch.Tensor:
        integers, levels = grey_levels(image)
        low, high = percentiles_of(integers, levels, self.percentiles)
        scaled = np.clip((levels - low) / ((high - low) or 1), 0, 1).astype(np.float32)
        return self.fit.place(image, resample(integers, scaled, self.fit.shape(image)))

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.fit.inverse(d[key])
        return d
