"""Draws over a radiograph what is not anatomy: collimator borders, letters, tubes, electrodes, blocks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from PIL import Image, ImageDraw, ImageFilter

LETTERS = ("L", "R", "AP", "PA", "SUPINE", "ERECT", "PORTABLE", "12:40", "W", "123")


class RandClutterd(RandomizableTransform, MapTransform):
    """Draws letters, tubes, electrodes, dimmed blocks and black or white borders over a radiograph.

    Args:
        keys: images of shape (1, x, y), y downwards, 0 black to 1 white.
        label_key: a mask of shape (1, x, y), 0 or 1. Nothing of the patient is left below a border, so it becomes 0
            there; what else is drawn hides, but does not change, what lies behind it.
        prob: probability of each kind on its own.
        border: greatest width of a border, as a fraction of the image's size.
    """

    def __init__(self, keys: KeysCollection, label_key: str = "label", prob: float = 0.3, border: float = 0.15):
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, 1.0)
        self.label_key = label_key
        self.each = prob
        self.border = border

    def randomize(self, data: Any = None) -> None:
        kinds = ("letters", "tubes", "discs", "blocks", "border")
        self.drawn = {kind: self.R.rand() < self.each for kind in kinds}
        self.letters = [(self.R.choice(LETTERS), *self.R.uniform(0, 1, 4)) for _ in range(self.R.randint(1, 4))]
        self.tubes = self.R.uniform(0, 1, (self.R.randint(1, 4), 4, 2))
        self.tube_shades = self.R.uniform(0.15, 0.6, len(self.tubes))
        self.discs = self.R.uniform(0, 1, (self.R.randint(1, 5), 4))
        self.blocks = self.R.uniform(0, 1, (self.R.randint(1, 4), 6))
        self.sides = self.R.uniform(0, self.border, 4) * (self.R.rand(4) < 0.6)
        self.border_shade = self.R.choice([0.0, 0.0, 0.0, 1.0, self.R.rand()])

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        self.randomize()
        columns, rows = d[self.label_key].shape[1:]
        added = torch.from_numpy(self._lines(columns, rows)) if self._any("letters", "tubes", "discs") else None
        for key in self.key_iterator(d):
            image = d[key].clone()
            if self.drawn["blocks"]:
                self._block(image[0], columns, rows)
            if added is not None:
                image[0] = torch.maximum(image[0] * (1 - added), torch.minimum(image[0] + added, torch.tensor(1.0)))
            if self.drawn["border"]:
                image[:, self._outside(columns, rows)] = float(self.border_shade)
            d[key] = image
        if self.drawn["border"]:
            label = d[self.label_key].clone()
            label[:, self._outside(columns, rows)] = 0
            d[self.label_key] = label
        return d

    def _any(self, *kinds: str) -> bool:
        return any(self.drawn[kind] for kind in kinds)

    def _lines(self, columns: int, rows: int) -> np.ndarray:
        """What letters, tubes and electrodes add, float32 of shape (x, y), 0 to 1."""
        picture = Image.new("L", (columns, rows))
        draw = ImageDraw.Draw(picture)
        size = np.array([columns, rows])
        if self.drawn["tubes"]:
            t = np.linspace(0, 1, 24)[:, None]
            basis = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])  # a Bezier curve
            for points, shade in zip(self.tubes, self.tube_shades, strict=True):
                line = [tuple(point) for point in basis @ (points * 1.2 - 0.1) * size]
                draw.line(line, fill=int(255 * shade), width=max(1, round(columns / 100)))
        if self.drawn["discs"]:
            for x, y, shade, radius in self.discs:
                radius = columns * (0.008 + 0.025 * radius)
                box = (x * columns - radius, y * rows - radius, x * columns + radius, y * rows + radius)
                draw.ellipse(box, fill=int(90 + 150 * shade))
        picture = picture.filter(ImageFilter.GaussianBlur(columns / 500))
        if self.drawn["letters"]:
            draw = ImageDraw.Draw(picture)
            for text, x, y, height, shade in self.letters:
                # letters stand at the sides
                x = x * 0.22 if height < 0.5 else 0.72 + x * 0.25
                place = (x * columns, y * 0.9 * rows)
                draw.text(place, text, fill=int(120 + 135 * shade), font_size=round(rows * (0.03 + 0.06 * shade)))
        return np.asarray(picture, np.float32).T / 255

    def _block(self, image: torch.Tensor, columns: int, rows: int) -> None:
        for x, y, width, height, shade, dim in self.blocks:
            x0, y0 = int(x * columns), int(y * rows)
            part = image[x0 : x0 + int((0.04 + 0.2 * width) * columns), y0 : y0 + int((0.04 + 0.2 * height) * rows)]
            part.copy_(part * dim + shade * (1 - dim) if dim > 0.3 else torch.full_like(part, float(shade)))

    def _outside(self, columns: int, rows: int) -> torch.Tensor:
        left, right, top, bottom = (self.sides * [columns, columns, rows, rows]).astype(int)
        outside = torch.ones(columns, rows, dtype=torch.bool)
        outside[left : columns - right, top : rows - bottom] = False
        return outside
