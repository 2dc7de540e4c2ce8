"""A random warp, mirrored, affine and elastic, for images and their masks together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from torch.nn.functional import grid_sample

from .batch import RandBatchd, on_device
from .smooth_fields import smooth_fields

CONTROL_POINTS = 5  # of the elastic displacement, along each axis


class RandWarpd(RandBatchd):
    """Mirrors, rotates, shears, scales, shifts and bends 2D images and masks alike, in one resampling for the batch.

    Each image has a warp of its own. Not invertible: for training. Floating-point values are interpolated linearly; in
    masks (integers, 0 or 1, or 2 where it is not known) a pixel is inside, or unknown, if at least half of it is. What
    comes from beyond the border is 0.

    Args:
        keys: tensors of shape (B, C, x, y), all of one B, x and y.
        prob: probability of any change but mirroring.
        mirror: probability of mirroring along x, left to right.
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
        mirror: float = 0.0,
        rotate: float = 0.0,
        shear: float = 0.0,
        scale: float = 0.0,
        stretch: float = 0.0,
        shift: float = 0.0,
        elastic: float = 0.0,
    ):
        super().__init__(keys, prob)
        self.mirror = mirror
        self.rotate, self.shear, self.scale, self.stretch = rotate, shear, scale, stretch
        self.shift, self.elastic = shift, elastic

    def randomize(self, number: int) -> None:
        """Draw ``matrix`` (B, 2, 2), ``offset`` (B, 2) and ``bend`` (B, 2, n, n).

        A pixel comes from ``centre + matrix (position - centre) + offset + bend``, where offset and bend are fractions
        of the size.
        """
        warped = np.isin(np.arange(number), self.choose(number, self.prob))
        ranges = (self.rotate, self.shear, self.scale, self.stretch)
        angle, shear, scale, stretch = (self.R.uniform(-m, m, number) * warped for m in ranges)
        cosine, sine, zero = np.cos(angle), np.sin(angle), np.zeros(number)
        rotation, shearing, scaling = (
            np.array(values).reshape(2, 2, number).transpose(2, 0, 1)
            for values in (
                (cosine, -sine, sine, cosine),
                (zero + 1, shear, zero, zero + 1),
                (np.exp(scale + stretch / 2), zero, zero, np.exp(scale - stretch / 2)),
            )
        )
        self.matrix = rotation @ shearing @ scaling
        self.matrix[self.choose(number, self.mirror), 0] *= -1  # offset and bend are as probable to either side
        self.offset = self.R.uniform(-self.shift, self.shift, (number, 2)) * warped[:, None]
        bend = self.R.uniform(-self.elastic, self.elastic, (number, 2, CONTROL_POINTS, CONTROL_POINTS))
        self.bend = bend * warped[:, None, None, None]

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        tensors = {key: d[key] for key in self.key_iterator(d)}
        parts_of = {key: _parts(tensor) for key, tensor in tensors.items()}
        stack = torch.cat([part for parts in parts_of.values() for part in parts], dim=1)
        self.randomize(len(stack))
        moved = grid_sample(stack, self._grid(stack), mode="bilinear", padding_mode="zeros", align_corners=False)
        at = 0
        for key, tensor in tensors.items():
            parts = []
            for part in parts_of[key]:
                parts.append(moved[:, at : at + part.shape[1]])
                at += part.shape[1]
            if not tensor.is_floating_point():
                parts = [(part >= 0.5).to(tensor.dtype) for part in parts]
            d[key] = parts[0] if len(parts) == 1 else parts[0] + parts[0] * parts[1]
        return d

    def _grid(self, stack: torch.Tensor) -> torch.Tensor:
        """Where each pixel comes from, (B, x, y, 2), in torch's coordinates: -1 to 1 along each axis, y first.

        Sums of a row and a column make it in a fourth of the time of torch's affine_grid.
        """
        size = np.array(stack.shape[2:], float)
        x, y = (
            torch.arange(length, device=stack.device) * (2 / length) + (1 / length - 1) for length in stack.shape[2:]
        )
        # y first from here on
        along_x, along_y = on_device((self.matrix * size / size[:, None])[:, ::-1].transpose(2, 0, 1), stack)[..., None]
        shift = on_device(2 * self.offset[:, ::-1], stack)[..., None]
        origin = (along_x * x + shift)[..., None] + (along_y * y)[..., None, :]  # (B, 2, x, y)
        if self.elastic:
            origin += smooth_fields(2 * self.bend[:, ::-1], stack, align_corners=True)
        return origin.movedim(1, -1)


def _parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    """What is interpolated of a tensor, float32: itself; of a mask with unknown pixels all within, and the unknown."""
    if tensor.is_floating_point() or not (tensor > 1).any():
        return [tensor.to(torch.float32)]
    return [(tensor > 0).to(torch.float32), (tensor > 1).to(torch.float32)]
