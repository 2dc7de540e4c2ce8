"""Blurs images at random."""

from __future__ import annotations

import math

import numpy as np
import torch
from monai.config import KeysCollection
from torch.nn.functional import conv2d

from .batch import RandIntensityd, on_device

TRUNCATED = 4.0  # standard deviations, as in MONAI's GaussianFilter


class RandBlurd(RandIntensityd):
    """MONAI's RandGaussianSmoothd for a batch: each image with a Gaussian of its own. Beyond the border is 0.

    Args:
        keys: images of shape (B, 1, x, y).
        prob: probability of a change.
        sigma: least and greatest standard deviation in pixels, drawn along x and along y.
    """

    def __init__(self, keys: KeysCollection, prob: float, sigma: tuple[float, float]):
        super().__init__(keys, prob)
        self.least, self.greatest = sigma

    def randomize(self, number: int) -> None:
        self.rows = self.choose(number, self.prob)
        self.sigmas = self.R.uniform(self.least, self.greatest, (len(self.rows), 2))

    def change(self, images: torch.Tensor) -> torch.Tensor:
        return gaussian_blur(images, self.sigmas)


def gaussian_blur(images: torch.Tensor, sigmas: np.ndarray) -> torch.Tensor:
    """Blur each image by a Gaussian of its own; beyond the border is 0.

    Args:
        images: float32 (k, 1, x, y).
        sigmas: standard deviations along x and y in pixels, (k, 2).

    Returns:
        of the images' shape.
    """
    tail = int(TRUNCATED * sigmas.max() + 0.5)
    edges = torch.arange(-tail, tail + 2, device=images.device) - 0.5
    scaled = edges / (math.sqrt(2) * on_device(sigmas.T, images)[..., None])
    kernels = scaled.erf().diff(dim=-1)[:, :, None, :, None] / 2  # the mass within each pixel, (2, k, 1, pixels, 1)
    blurred = images.transpose(0, 1)  # a channel is an image, and has a kernel of its own
    for kernel in kernels:  # along x, then along y: columns are convolved in a tenth of the time of rows
        blurred = conv2d(blurred, kernel, padding=(tail, 0), groups=len(images)).transpose(2, 3)
    return blurred.transpose(0, 1)
