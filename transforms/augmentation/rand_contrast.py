"""Changes the contrast of images by a random gamma."""

from __future__ import annotations

import torch
from monai.config import KeysCollection

from .batch import RandIntensityd, by_image, power


class RandContrastd(RandIntensityd):
    """MONAI's RandAdjustContrastd for a batch: between an image's least and greatest value, a gamma of its own.

    Args:
        keys: images of shape (B, 1, x, y).
        prob: probability of a change.
        gamma: least and greatest gamma; between them all are alike probable.
    """

    def __init__(self, keys: KeysCollection, prob: float, gamma: tuple[float, float]):
        super().__init__(keys, prob)
        self.least, self.greatest = gamma

    def randomize(self, number: int) -> None:
        self.rows = self.choose(number, self.prob)
        self.gamma = self.R.uniform(self.least, self.greatest, len(self.rows))

    def change(self, images: torch.Tensor) -> torch.Tensor:
        dark, bright = (values[:, None, None, None] for values in images.flatten(1).aminmax(dim=1))
        span = bright - dark
        share = (images - dark).div_(span + 1e-7)
        return power(share, by_image(self.gamma, images)).mul_(span).add_(dark)
