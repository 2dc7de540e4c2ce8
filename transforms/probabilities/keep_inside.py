"""Keeps a prediction to where another network sees an organ."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch.nn.functional import interpolate, max_pool2d

logger = logging.getLogger(__name__)


class KeepInsided(MapTransform):
    """Sets probabilities to 0 farther than a margin from the organ that a network finds in the image.

    The margin is needed where the organ's model follows another convention than the finding's: masks of lungs leave
    out what lies behind the heart and the diaphragm, opacities do not. Where the network finds nothing, nothing is
    changed, and the log says so.

    Args:
        keys: probabilities of shape (1, x, y).
        network: takes images (1, 1, size, size) and gives logits of the same shape.
        size: rows and columns that the network was trained with: the image is brought to it.
        margin: as a fraction of the image's size.
        image_key: the image as the prediction's network sees it, (1, x, y).
    """

    def __init__(
        self, keys: KeysCollection, network: torch.nn.Module, size: int, margin: float, image_key: str = "image"
    ):
        super().__init__(keys)
        self.network = network.eval()
        self.size = size
        self.margin = margin
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image = torch.as_tensor(d[self.image_key])[None]
        with torch.no_grad():
            logits = self.network(interpolate(image, size=(self.size, self.size), mode="bilinear", antialias=True))
        inside = (interpolate(logits, size=image.shape[2:], mode="bilinear") > 0).float()
        if not inside.any():
            logger.warning("no organ was found in an image: what was predicted there is kept as it is")
            return d
        margin = round(self.margin * max(image.shape[2:]))
        near = max_pool2d(inside, 2 * margin + 1, stride=1, padding=margin)[0]
        for key in self.key_iterator(d):
            d[key] = d[key] * near.to(d[key].device)
        return d
