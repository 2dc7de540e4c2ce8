"""A random warp, affine and elastic, for an image and its mask together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch.nn.functional import grid_sample, interpolate

CONTROL_POINTS = 5  # of the elastic displacement, along each axis


class RandWarpPaird(RandomizableTransform, MapTransform):
    """Rotates, shears, scales, shifts and bends 2D images and masks alike, in one resampling.

    Not invertible: for training. MONAI's RandAffined resamples key by key, in float64, which on two cores was most of
    what augmentation costs, and its elastic deformation is a second resampling.

    Floating-point values are interpolated linearly; in masks (integers, 0 or 1) a pixel is inside
    if at least half of it is. What comes from beyond the border is 0.

    Args:
        keys: tensors of shape (C, x, y), all of one x and y.
        prob: probability of any change.
        rotate: greatest angle in radians.
        shear: greatest shear, as the tangent of its angle.
        scale: greatest logarithm of the scale: 0.15 is 0.86 to 1.16.
        stretch: greatest logarithm of the ratio of the scales along x and y.
        shift: greatest shift along an axis, as a fraction of its size.
        elastic: greatest displacement of a control point along an axis, as a fraction of its size.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float,
        rotate: float = 0.0,
        shear: float = 0.0,
        scale: float = 0.0,
        stretch: float = 0.0,
        shift: float = 0.0,
        elastic: float = 0.0,
    ):
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.rotate, self.shear, self.scale, self.stretch = rotate, shear, scale, stretch
        self.shift, self.elastic = shift, elastic

    def randomize(self, data: Any = None) -> None:
        super().randomize(None)
        ranges = (self.rotate, self.shear, self.scale, self.stretch)
        angle, shear, log_scale, log_stretch = (self.R.uniform(-m, m) for m in ranges)
        cosine, sine = np.cos(angle), np.sin(angle)
        scales = np.diag(np.exp([log_scale + log_stretch / 2, log_scale - log_stretch / 2]))
        self.matrix = np.array([[cosine, -sine], [sine, cosine]]) @ np.array([[1, shear], [0, 1]]) @ scales
        self.offset = self.R.uniform(-self.shift, self.shift, 2)
        if self.elastic:
            shape = (2, CONTROL_POINTS, CONTROL_POINTS)
            self.bend = self.R.uniform(-self.elastic, self.elastic, shape).astype(np.float32)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        self.randomize()
        if not self._do_transform:
            return d
        tensors = [d[key] for key in self.key_iterator(d)]
        stack = torch.cat([tensor.to(torch.float32) for tensor in tensors])[None]
        moved = grid_sample(stack, self._grid(stack.shape), mode="bilinear", padding_mode="zeros", align_corners=False)
        for key, tensor, part in zip(
            self.key_iterator(d), tensors, moved[0].split([len(t) for t in tensors]), strict=True
        ):
            d[key] = part if tensor.is_floating_point() else (part >= 0.5).to(tensor.dtype)
        return d

    def _grid(self, shape: torch.Size) -> torch.Tensor:
        """Where each pixel comes from: ``centre + matrix (position - centre) + offset + bend``, (x, y) in pixels.

        torch's coordinates run from -1 to 1 along each axis, the last axis (y) first. Sums of a row and a column make
        the grid in a fourth of the time of torch's affine_grid.
        """
        size = np.array(shape[2:], float)
        x, y = (torch.arange(length) * (2 / length) + (1 / length - 1) for length in shape[2:])
        (xx, xy), (yx, yy) = (self.matrix * size[None] / size[:, None]).tolist()
        shift_x, shift_y = (2 * self.offset).tolist()
        from_x = (xx * x + shift_x)[:, None] + (xy * y)[None]
        from_y = (yx * x + shift_y)[:, None] + (yy * y)[None]
        if self.elastic:
            bend = torch.from_numpy(2 * self.bend)[None]
            bend_x, bend_y = interpolate(bend, size=shape[2:], mode="bicubic", align_corners=True)[0]
            from_x, from_y = from_x + bend_x, from_y + bend_y
        return torch.stack([from_y, from_x], dim=-1)[None]
