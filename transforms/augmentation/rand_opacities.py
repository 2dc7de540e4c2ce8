"""Paints disease into healthy lungs, so that a network learns where lungs end although they are not dark."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from torch.nn.functional import pad

from .batch import RandBatchd, on_device
from .smooth_fields import smooth_fields

KINDS, SHARES = ("consolidation", "haze", "effusion"), (0.6, 0.2, 0.2)
SIDES = ("left", "right", "both")
MOST = 4  # ellipses of a consolidation
TEXTURE = 12  # control points of the irregular edge, along each axis
SOFT = 9  # pixels, over which an opacity ends at the edge of a lung
TISSUE = 0.6  # the quantile of what is not lung that counts as the brightness of tissue
SAMPLED = 64  # pixels along an axis are enough to find it


class RandOpacitiesd(RandBatchd):
    """Paints consolidations, haze or effusions into the lungs of chest radiographs, into each image of a batch its own.

    Inside an opacity a pixel goes part of the way to the brightness of the tissue beside the lungs. Consolidations are
    one to four soft, irregular ellipses around pixels of the lungs; haze lies over a whole lung or both; an effusion
    fills a lung from below. Painted, not real: it teaches where lungs end, and not what disease looks like.

    Args:
        keys: images of shape (B, 1, x, y), y downwards, 0 black to 1 white, lungs dark.
        label_key: the lungs, of shape (B, 1, x, y), 0 or 1. It is not changed: what is opaque is still lung. An image
            without lungs, or with nothing else, is not changed.
        prob: probability of any opacity.
    """

    def __init__(self, keys: KeysCollection, label_key: str = "label", prob: float = 0.5):
        super().__init__(keys, prob)
        self.label_key = label_key

    def randomize(self, number: int) -> None:
        self.rows = self.choose(number, self.prob)
        painted = len(self.rows)
        self.kind = self.R.choice(KINDS, painted, p=SHARES)
        self.density = self.R.uniform(0.35, 1.0, painted)
        self.texture = self.R.uniform(-1, 1, (painted, TEXTURE, TEXTURE))
        self.side = self.R.choice(SIDES, painted)
        self.level = self.R.uniform(-0.3, 0.6, painted)
        # of each ellipse: whether there is one, which of the lungs' pixels is its centre, how large it is
        self.present = np.arange(MOST) < self.R.randint(1, MOST + 1, painted)[:, None]
        self.centre = self.R.uniform(0, 1, (painted, MOST))
        self.radii = self.R.uniform(0.08, 0.42, (painted, MOST, 2))

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        label = d[self.label_key]
        self.randomize(len(label))
        if len(self.rows):
            rows = on_device(self.rows, label)
            lungs = label[rows, 0] > 0
            weight = self._weight(lungs)
            for key in self.key_iterator(d):
                d[key] = d[key].index_copy(0, rows, _paint(d[key][rows, 0], lungs, weight)[:, None])
        return d

    def _weight(self, lungs: torch.Tensor) -> torch.Tensor:
        """How far each pixel goes towards the brightness of tissue, 0 to 1, of the shape (k, x, y) of the lungs."""
        x, y = (torch.linspace(-1, 1, length, device=lungs.device) for length in lungs.shape[1:])
        weight = smooth_fields(self.texture, lungs)
        for kind in KINDS:
            which = np.flatnonzero(self.kind == kind)
            if len(which):
                rows = on_device(which, lungs)
                texture = weight[rows]
                if kind == "consolidation":
                    edge = self._distance(which, lungs[rows], x, y).sub_(texture).sub_(1).mul_(-4)
                    weight[rows] = edge.sigmoid_()
                elif kind == "haze":
                    weight[rows] = texture.mul_(0.25).add_(0.75)
                else:
                    level = on_device(self.level[which], lungs)[:, None]
                    weight[rows] = texture.mul_(1.5).add_(15 * (y - level)[:, None]).sigmoid_()
        one_sided = (self.kind != "consolidation") & (self.side != "both")
        hidden = np.stack([one_sided & (self.side == side) for side in ("right", "left")])
        left, right = on_device(hidden, lungs)[..., None]
        shown = on_device(self.density, lungs)[:, None] * ~torch.where(x < 0, left, right)
        return weight.mul_(_soft(lungs)).mul_(shown[..., None])

    def _distance(self, which: np.ndarray, lungs: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """How far each pixel is from the nearest ellipse, squared: 1 at its edge."""
        inside = lungs.flatten(1).cumsum(1, dtype=torch.int32)
        total = inside[:, -1:]
        number = (on_device(self.centre[which], lungs) * total).to(torch.int32) + 1
        index = torch.searchsorted(inside, torch.minimum(number, total).contiguous())
        absent = on_device(np.where(self.present[which], 0.0, np.inf), lungs)
        nearest: torch.Tensor | None = None
        for ellipse in range(int(self.present[which].sum(axis=1).max())):
            radius_x, radius_y = on_device(self.radii[which, ellipse].T, lungs)[..., None]
            centre = index[:, ellipse]
            centre_x = (centre // len(y)) * (2 / (len(x) - 1)) - 1
            centre_y = (centre % len(y)) * (2 / (len(y) - 1)) - 1
            along_x = ((x - centre_x[:, None]) / radius_x).square() + absent[:, ellipse, None]
            along_y = ((y - centre_y[:, None]) / radius_y).square()
            distance = along_x[:, :, None] + along_y[:, None, :]
            nearest = distance if nearest is None else torch.minimum(nearest, distance, out=nearest)
        assert nearest is not None
        return nearest


def _soft(lungs: torch.Tensor) -> torch.Tensor:
    """The share of lung in the square of SOFT pixels around each pixel, of shape (k, x, y)."""
    counted = lungs
    for _ in range(2):  # along y, then along x
        sums = pad(counted.cumsum(-1, dtype=torch.int32), (1, 0))
        around = pad(sums, (SOFT // 2, SOFT // 2), mode="replicate")
        counted = (around[..., SOFT:] - around[..., :-SOFT]).transpose(1, 2)
    return counted / SOFT**2


def _paint(image: torch.Tensor, lungs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """All of shape (k, x, y)."""
    inside = lungs.sum((1, 2))
    dark = (image * lungs).sum((1, 2)) / inside.clamp(min=1)
    tissue, found = _brightness_of_tissue(image, lungs)
    step = torch.where(found & (inside > 0), (tissue - dark).clamp(min=0), 0)[:, None, None]
    # a part of the lung's own structure (ribs, vessels) shows through
    through = (image - dark[:, None, None]).clamp_(0, 1).mul_(-0.5).add_(1)
    return torch.addcmul(image, weight * step, through)


def _brightness_of_tissue(image: torch.Tensor, lungs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A quantile of the pixels that are not lung, of every so many along each axis, (k,); and whether there are any."""
    step = max(1, min(image.shape[1:]) // SAMPLED)
    image, lungs = (values[:, ::step, ::step].flatten(1) for values in (image, lungs))
    count = (~lungs).sum(1, keepdim=True)
    values = image.masked_fill(lungs, torch.inf).sort(dim=1).values
    position = TISSUE * (count - 1).clamp(min=0)
    low = position.long()
    below, above = values.gather(1, low), values.gather(1, (low + 1).clamp(max=values.shape[1] - 1))
    between = (position - low).clamp(0, 1)
    tissue = torch.where(between > 0, torch.lerp(below, above, between), below)
    return tissue[:, 0], count[:, 0] > 0
