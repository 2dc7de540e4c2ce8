"""Gives masks the axes of their images' files."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import MetaKeys


class AsInFiled(MapTransform):
    """Gives each mask the axes of its image's file: without a channel, and (x, y, 1) where the file has three axes.

    MONAI Label writes masks with the axes that they have: with a channel, those of pictures would be one pixel wide,
    and without the third axis, those of NIfTI files would lose their place. What is in another grid passes unchanged.

    Args:
        keys: masks of shape (1, x, y).
        image_key: their image, a MetaTensor as :class:`RadiographReader` read it. Its ``spatial_shape`` becomes that of
            the file, since MONAI Label would resize a mask of another shape.
        mask_key: where a mask goes as it was, for the transforms that write files, or None.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image", mask_key: str | None = None):
        super().__init__(keys)
        self.image_key = image_key
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        meta = d[self.image_key].meta
        shape = tuple(int(length) for length in meta["file_shape"])
        for key in self.key_iterator(d):
            if self.mask_key is not None:
                d[self.mask_key] = d[key]
            if d[key].shape[1:] == shape[:2]:
                d[key] = d[key].reshape(shape)
                meta[MetaKeys.SPATIAL_SHAPE] = np.asarray(shape)
        return d
