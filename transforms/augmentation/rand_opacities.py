"""Paints disease into healthy lungs, so that a network learns where lungs end although they are not dark."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch.nn.functional import avg_pool2d, interpolate

TEXTURE = 12  # control points of the irregular edge, along each axis


class RandOpacitiesd(RandomizableTransform, MapTransform):
    """Paints consolidations, haze or effusions into the lungs of a chest radiograph.

    Inside an opacity a pixel goes part of the way to the brightness of the tissue beside the lungs. Consolidations are
    one to four soft, irregular ellipses; haze lies over a whole lung or both; an effusion fills a lung from below.
    Painted, not real: it teaches where lungs end, and not what disease looks like.

    Args:
        keys: images of shape (1, x, y), y downwards, 0 black to 1 white, lungs dark.
        label_key: the lungs, of shape (1, x, y), 0 or 1. It is not changed: what is opaque is still lung.
        prob: probability of any opacity.
    """

    def __init__(self, keys: KeysCollection, label_key: str = "label", prob: float = 0.5):
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.label_key = label_key

    def randomize(self, inside: np.ndarray) -> None:
        """Draw what is painted: each shape's centre is one of ``inside``, (n, 2) in -1 to 1."""
        super().randomize(None)
        if not self._do_transform:
            return
        self.kind = self.R.choice(["consolidation", "haze", "effusion"], p=[0.6, 0.2, 0.2])
        self.density = self.R.uniform(0.35, 1.0)
        self.texture = self.R.uniform(-1, 1, (TEXTURE, TEXTURE)).astype(np.float32)
        self.side = self.R.choice(["left", "right", "both"])
        self.level = self.R.uniform(-0.3, 0.6)
        self.centres = inside[self.R.randint(len(inside), size=self.R.randint(1, 5))]
        self.radii = self.R.uniform(0.08, 0.42, (len(self.centres), 2))

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        lungs = d[self.label_key][0] > 0
        if lungs.any() and not lungs.all():
            x, y = (torch.linspace(-1, 1, length) for length in lungs.shape)
            index = torch.nonzero(lungs).numpy()
            self.randomize(index / (np.array(lungs.shape) - 1) * 2 - 1)
            if self._do_transform:
                weight = self._weight(lungs, x[:, None], y[None])
                for key in self.key_iterator(d):
                    d[key] = self._paint(d[key], lungs, weight)
        return d

    def _weight(self, lungs: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """How far each pixel goes towards the brightness of tissue, 0 to 1."""
        texture = interpolate(torch.from_numpy(self.texture)[None, None], size=lungs.shape, mode="bicubic")[0, 0]
        if self.kind == "consolidation":
            distances = [
                ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
                for (cx, cy), (rx, ry) in zip(self.centres, self.radii, strict=True)
            ]
            shape = torch.sigmoid(4 * (1 - torch.stack(distances).amin(0) + texture))
        elif self.kind == "haze":
            shape = 0.75 + 0.25 * texture + 0 * x
        else:
            shape = torch.sigmoid(15 * (y - self.level + 0.1 * texture))
        if self.kind != "consolidation" and self.side != "both":
            shape = shape * ((x < 0) if self.side == "left" else (x >= 0))
        soft = avg_pool2d(lungs[None, None].float(), 9, stride=1, padding=4)[0, 0]
        return self.density * shape * soft

    def _paint(self, image: torch.Tensor, lungs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        dark, tissue = image[0][lungs].mean(), image[0][~lungs].quantile(0.6)
        # a part of the lung's own structure (ribs, vessels) shows through
        return image + weight * (tissue - dark).clamp(min=0) * (1 - 0.5 * (image - dark).clamp(0, 1))
