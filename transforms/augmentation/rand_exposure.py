"""Changes how radiographs were exposed and processed: window, gamma, smooth gain, inversion."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection

from .batch import RandIntensityd, by_image, on_device, power
from .smooth_fields import smooth_fields

CONTROL_POINTS = 4  # of the gain, along each axis


class RandExposured(RandIntensityd):
    """Applies a random window, gamma and smooth gain, and inverts some images; to each image of a batch its own.

    ``clip((v * gain - low) / (high - low)) ** gamma``, where the gain is a smooth field over the image. Values that
    leave the window are lost, as in films that are too dark or too bright.

    Args:
        keys: images of shape (B, 1, x, y), 0 black to 1 white; stay so.
        prob: probability of any change but inversion.
        gamma: greatest logarithm of gamma.
        window: greatest change of each end of the window, as a fraction of the whole.
        gain: greatest logarithm of the gain.
        invert: probability of inversion, as when MONOCHROME1 is taken for MONOCHROME2.
    """

    def __init__(
        self, keys: KeysCollection, prob: float, gamma: float, window: float, gain: float, invert: float = 0.0
    ):
        super().__init__(keys, prob)
        self.gamma, self.window, self.gain, self.invert = gamma, window, gain, invert

    def randomize(self, number: int) -> None:
        self.rows = self.choose(number, self.prob)
        self.inverted = self.choose(number, self.invert)
        changed = len(self.rows)
        self.exponent = np.exp(self.R.uniform(-self.gamma, self.gamma, changed))
        self.low = self.R.uniform(-self.window, self.window, changed)
        self.high = 1 + self.R.uniform(-self.window, self.window, changed)
        self.field = np.exp(self.R.uniform(-self.gain, self.gain, (changed, 1, CONTROL_POINTS, CONTROL_POINTS)))

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = super().__call__(data)
        if len(self.inverted):
            for key in self.key_iterator(d):
                rows = on_device(self.inverted, d[key])
                d[key] = d[key].index_copy(0, rows, 1 - d[key][rows])
        return d

    def change(self, images: torch.Tensor) -> torch.Tensor:
        width = self.high - self.low
        gain = smooth_fields(self.field / width[:, None, None, None], images)  # the field is linear in its points
        shown = torch.addcmul(by_image(-self.low / width, images), images, gain)
        return power(shown.clamp_(0, 1), by_image(self.exponent, images))
