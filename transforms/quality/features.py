"""What of a predicted mask tells how good it is: how sure the network is of it, and its shape."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform
from scipy.ndimage import binary_erosion
from scipy.special import entr


def mask_features(probability: np.ndarray, threshold: float) -> dict[str, float]:
    """Numbers that go with a mask's quality.

    Args:
        probability: shape (x, y), 0 to 1, in the network's grid.
        threshold: a pixel at or above it is in the mask.

    Returns:
        ``expected_dice``, the Dice that the mask would have if the probabilities were true: twice the probability in
        the mask over the mask's pixels and all probability, 0 of an empty mask; ``edge_entropy``, the entropy of all
        pixels in nats by pixel of the mask's edge; ``area``, the mask's share of the grid; ``symmetry``, the Dice of
        the mask with its mirror image, left to right.
    """
    mask = probability >= threshold
    pixels = int(mask.sum())
    edge = pixels - int(binary_erosion(mask).sum())
    entropy = entr(probability).sum() + entr(1 - probability).sum()
    return {
        "expected_dice": float(2 * probability[mask].sum() / max(probability.sum() + pixels, 1)),
        "edge_entropy": float(entropy / max(edge, 1)),
        "area": pixels / mask.size,
        "symmetry": float((mask & mask[::-1]).sum() / max(pixels, 1)),
    }


class MaskFeaturesd(MapTransform):
    """Adds ``features``, see :func:`mask_features`.

    It must stand where the prediction still has the grid of the network.

    Args:
        keys: probabilities of shape (1, x, y).
        threshold: of the mask.
    """

    def __init__(self, keys: KeysCollection, threshold: float):
        super().__init__(keys)
        self.threshold = threshold

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d["features"] = mask_features(np.asarray(d[key][0].detach().cpu()), self.threshold)
        return d
