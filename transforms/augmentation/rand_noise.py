"""Adds noise to images at random."""

from __future__ import annotations

import torch
from monai.config import KeysCollection

from .batch import RandIntensityd, by_image


class RandNoised(RandIntensityd):
    """MONAI's RandGaussianNoised for a batch: Gaussian noise, in each image of a strength of its own.

    The noise is drawn on the images' device, from a seed that is drawn on the CPU. So one seed gives other noise on a
    GPU than on a CPU.

    Args:
        keys: images of shape (B, 1, x, y).
        prob: probability of a change.
        std: greatest standard deviation of the noise; from 0 to it all are alike probable.
    """

    def __init__(self, keys: KeysCollection, prob: float, std: float):
        super().__init__(keys, prob)
        self.std = std

    def randomize(self, number: int) -> None:
        self.rows = self.choose(number, self.prob)
        self.stds = self.R.uniform(0, self.std, len(self.rows))
        self.seed = int(self.R.randint(2**31))

    def change(self, images: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator(images.device).manual_seed(self.seed)
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        return images.addcmul_(noise, by_image(self.stds, images))
