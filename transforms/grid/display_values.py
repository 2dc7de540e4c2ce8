"""Radiographs that were read as integers, as the values that they mean on a display."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ensure_tuple_rep

from .levels import LEVELS, grey_levels


class DisplayValuesd(MapTransform):
    """Puts the values of images that hold integers under other names, in the same grid: 0 black to 1 white.

    Args:
        keys: MetaTensors of shape (1, x, y), as :class:`RadiographReader` gives them; they stay as they are.
        names: where the values go, float32, for each key.
    """

    def __init__(self, keys: KeysCollection, names: KeysCollection):
        super().__init__(keys)
        self.names = ensure_tuple_rep(names, len(self.keys))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key, name in self.key_iterator(d, self.names):
            image: MetaTensor = d[key]
            integers, levels = grey_levels(image)
            meta = {what: value for what, value in image.meta.items() if what != LEVELS}
            d[name] = MetaTensor(torch.from_numpy(levels.take(integers))[None], meta=meta)
        return d
