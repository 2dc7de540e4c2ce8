"""Takes pictures of single slices for volumes of one slice."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.data import MetaTensor
from monai.transforms import MapTransform


class OneSliced(MapTransform):
    """Appends the axis of slices: MetaTensors of shape (C, x, y) become (C, x, y, 1), with the same metadata.

    For slices that were published as pictures, so that everything made for volumes takes them. It must stand before
    the transforms that move pixels: what they have noted in the tensor is left out.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = MetaTensor(d[key].as_tensor()[..., None], meta=d[key].meta)
        return d
