"""Changes how a radiograph was exposed and processed: window, gamma, smooth gain, inversion."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch.nn.functional import interpolate

CONTROL_POINTS = 4  # of the gain, along each axis


class RandExposured(RandomizableTransform, MapTransform):
    """Applies a random window, gamma and smooth gain, and inverts some images.

    ``clip((v * gain - low) / (high - low)) ** gamma``, where the gain is a smooth field over the image. Values that
    leave the window are lost, as in films that are too dark or too bright.

    Args:
        keys: images of shape (1, x, y), 0 black to 1 white; stay so.
        prob: probability of any change but inversion.
        gamma: greatest logarithm of gamma.
        window: greatest change of each end of the window, as a fraction of the whole.
        gain: greatest logarithm of the gain.
        invert: probability of inversion, as when MONOCHROME1 is taken for MONOCHROME2.
    """

    def __init__(
        self, keys: KeysCollection, prob: float, gamma: float, window: float, gain: float, invert: float = 0.0
    ):
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.gamma, self.window, self.gain, self.invert = gamma, window, gain, invert

    def randomize(self, data: Any = None) -> None:
        super().randomize(None)
        self.inverted = self.R.rand() < self.invert
        self.exponent = float(np.exp(self.R.uniform(-self.gamma, self.gamma)))
        self.low, self.high = (float(end + self.R.uniform(-self.window, self.window)) for end in (0, 1))
        field = self.R.uniform(-self.gain, self.gain, (CONTROL_POINTS, CONTROL_POINTS))
        self.field = np.exp(field).astype(np.float32)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        self.randomize()
        for key in self.key_iterator(d):
            image = d[key]
            if self._do_transform:
                gain = interpolate(torch.from_numpy(self.field)[None, None], size=image.shape[1:], mode="bicubic")[0]
                shown = (image * gain - self.low) / (self.high - self.low)
                image = shown.clamp(0, 1) ** self.exponent
            d[key] = 1 - image if self.inverted else image
        return d
