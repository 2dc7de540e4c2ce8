"""Keeps the largest parts of what a network found, and fills their holes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type
from scipy.ndimage import label

CORNERS = np.ones((3, 3))  # pixels that meet at a corner hang together, as in MONAI's KeepLargestConnectedComponent


class KeepPartsd(MapTransform):
    """Sets probabilities to 0 outside the largest parts that reach a threshold, and to 1 in the holes of these.

    It must stand where the prediction still has the grid of the network, in which this takes hundreds of times less
    than in the image's; the mask in the image's grid, interpolated from there, has the same parts.

    Args:
        keys: probabilities of shape (1, x, y).
        threshold: that parts reach, 0 to 1.
        number: of the parts that are kept.
    """

    def __init__(self, keys: KeysCollection, threshold: float, number: int):
        super().__init__(keys)
        self.threshold = threshold
        self.number = number

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            kept = keep_parts(np.asarray(d[key][0].cpu()), self.threshold, self.number)
            d[key] = convert_to_dst_type(torch.from_numpy(kept)[None], dst=d[key])[0]
        return d


def keep_parts(probability: np.ndarray, threshold: float, number: int) -> np.ndarray:
    """Keep the largest parts, and fill their holes: what does not hang together with the outside, by corners either.

    Args:
        probability: of shape (x, y), 0 to 1.
        threshold: that parts reach.
        number: of the parts that are kept; of parts of one size, the first.

    Returns:
        of the same shape.
    """
    parts, _ = label(probability >= threshold, CORNERS)
    sizes = np.bincount(parts.ravel())[1:]
    kept = np.isin(parts, 1 + np.argsort(-sizes, kind="stable")[:number])
    background, _ = label(np.pad(~kept, 1, constant_values=True), CORNERS)
    holes = ~kept & (background != background[0, 0])[1:-1, 1:-1]
    result = np.where((parts > 0) & ~kept, 0, probability)
    result[holes] = 1
    return result.astype(probability.dtype)
