"""Checks that a mask was drawn on the image that it is said to belong to."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..errors import DataError


class CheckSameGridd(MapTransform):
    """Checks that masks have their image's size, and gives them its metadata.

    So MONAI's spatial transforms and their inverses treat both alike. It must stand right after loading.

    Args:
        keys: masks of shape (1, x, y), MetaTensors.
        image_key: a MetaTensor of shape (1, x, y).

    Raises:
        DataError: naming both files, if the sizes differ.
    """

    def __init__(self, keys: KeysCollection = "label", image_key: str = "image"):
        super().__init__(keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image: MetaTensor = d[self.image_key]
        for key in self.key_iterator(d):
            if d[key].shape[1:] != image.shape[1:]:
                raise DataError(
                    f"{d[key].meta['filename_or_obj']}: the mask has {tuple(d[key].shape[1:])} columns and rows, its "
                    f"image {image.meta['filename_or_obj']} has {tuple(image.shape[1:])}. Draw it on this image, or "
                    "resize it to the image."
                )
            d[key] = MetaTensor(torch.as_tensor(d[key].as_tensor()), meta=dict(image.meta))
        return d
