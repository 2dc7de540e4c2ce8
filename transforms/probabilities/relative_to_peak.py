"""A threshold that is a share of an image's highest probability."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

SHIFT = "shift_of_logits"  # in the metadata of an image, and of what was found on it


class RelativeToPeakd(MapTransform):
    """Shifts the logits of an image so that a share of its highest probability comes to the threshold.

    Whether an image has a finding is one question, and how far the finding reaches another. A fixed threshold answers
    both at once, and draws a faint finding too small: its outline is where probability falls to a share of the peak, as
    nuclear medicine outlines lesions at a share of the highest uptake (Erdi YE et al. Cancer 1997;80:2505-2509). So
    images whose peak is below the threshold stay as they are, and keep an empty mask; of all others the pixels from
    ``share`` times the peak on are inside. The order of images by their peak does not change. What the logits were
    shifted by goes with the image, see :func:`shift_of`.

    It must stand where the prediction still has the grid of the network, directly after the sigmoid.

    Args:
        keys: probabilities of shape (1, x, y).
        share: of the peak, above 0 and below 1.
        threshold: that probabilities are compared with afterwards, above 0 and below 1.
        image_key: the image, a MetaTensor, whose metadata take the shift to what is made of the prediction.

    Raises:
        ValueError: if one of them is outside of its range.
    """

    def __init__(self, keys: KeysCollection, share: float, threshold: float, image_key: str = "image"):
        super().__init__(keys)
        for name, value in (("share_of_peak", share), ("threshold", threshold)):
            if not 0 < value < 1:
                raise ValueError(f"{name} is {value}: give a number above 0 and below 1.")
        self.share = share
        self.threshold = threshold
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            peak, shift = d[key].max(), 0.0
            if peak >= self.threshold:
                shift = float(torch.logit(torch.as_tensor(self.threshold)) - torch.logit(self.share * peak))
                d[key] = torch.sigmoid(torch.logit(d[key]) + shift)
            d[self.image_key].meta[SHIFT] = shift
        return d


def shift_of(probability: torch.Tensor) -> float:
    """What the logits behind probabilities were shifted by, which know it from their image; 0 if by nothing."""
    return float(getattr(probability, "meta", {}).get(SHIFT, 0.0))
