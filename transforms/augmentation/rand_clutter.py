"""Draws over radiographs what is not anatomy: collimator borders, letters, tubes, electrodes, blocks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from monai.config import KeysCollection
from PIL import Image, ImageDraw, ImageFont

from .batch import RandBatchd, by_image, on_device
from .rand_blur import gaussian_blur

LETTERS = ("L", "R", "AP", "PA", "SUPINE", "ERECT", "PORTABLE", "12:40", "W", "123")
MOST_BLOCKS = 3


class Lines(NamedTuple):
    """What is drawn over one image, in values of 0 to 1."""

    letters: list[tuple[str, float, float, float, float]]  # text, x, y, side, shade
    tubes: list[tuple[np.ndarray, float]]  # four points of a Bezier curve, (4, 2), and shade
    discs: np.ndarray  # (n, 4): x, y, shade, radius


class RandClutterd(RandBatchd):
    """Draws letters, tubes, electrodes, dimmed blocks and black or white borders, over each image of a batch its own.

    Lines are drawn by Pillow on the CPU, for the images that get some, and moved to the device.

    Args:
        keys: images of shape (B, 1, x, y), y downwards, 0 black to 1 white.
        label_key: a mask of shape (B, 1, x, y), 0 or 1. Nothing of the patient is left below a border, so it becomes 0
            there; what else is drawn hides, but does not change, what lies behind it.
        prob: probability of each kind on its own.
        border: greatest width of a border, as a fraction of the image's size.
    """

    def __init__(self, keys: KeysCollection, label_key: str = "label", prob: float = 0.3, border: float = 0.15):
        super().__init__(keys, prob)
        self.label_key = label_key
        self.border = border

    def randomize(self, number: int) -> None:
        lettered, tubed, with_discs = (set(self.choose(number, self.prob).tolist()) for _ in range(3))
        self.lined = np.array(sorted(lettered | tubed | with_discs), np.int64)
        self.lines = [self._draw_lines(row in lettered, row in tubed, row in with_discs) for row in self.lined]
        self.blocked = self.choose(number, self.prob)
        # x, y, width, height, shade, dim of each block; those that are too many have no width
        self.blocks = self.R.uniform(0, 1, (len(self.blocked), MOST_BLOCKS, 6))
        present = np.arange(MOST_BLOCKS) < self.R.randint(1, MOST_BLOCKS + 1, len(self.blocked))[:, None]
        self.blocks[~present, 2] = -np.inf
        self.bordered = self.choose(number, self.prob)
        drawn = len(self.bordered)
        self.sides = self.R.uniform(0, self.border, (drawn, 4)) * (self.R.rand(drawn, 4) < 0.6)
        chance, grey = self.R.rand(2, drawn)
        self.border_shade = np.select([chance < 0.6, chance < 0.8], [0.0, 1.0], grey)

    def _draw_lines(self, letters: bool, tubes: bool, discs: bool) -> Lines:
        count_letters, count_tubes, count_discs = (
            drawn * self.R.randint(1, most + 1) for drawn, most in ((letters, 3), (tubes, 3), (discs, 4))
        )
        return Lines(
            [(str(self.R.choice(LETTERS)), *self.R.uniform(0, 1, 4)) for _ in range(count_letters)],
            [(self.R.uniform(0, 1, (4, 2)), self.R.uniform(0.15, 0.6)) for _ in range(count_tubes)],
            self.R.uniform(0, 1, (count_discs, 4)),
        )

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        label = d[self.label_key]
        self.randomize(len(label))
        added = self._added(label) if len(self.lined) else None
        for key in self.key_iterator(d):
            image = d[key].clone()
            if len(self.blocked):
                self._block(image)
            if added is not None:
                rows = on_device(self.lined, image)
                behind = image[rows]
                image[rows] = torch.maximum(behind * (1 - added), (behind + added).clamp(max=1))
            if len(self.bordered):
                rows = on_device(self.bordered, image)
                shade = by_image(self.border_shade, image)
                image[rows] = torch.where(self._outside(image), shade, image[rows])
            d[key] = image
        if len(self.bordered):
            rows = on_device(self.bordered, label)
            d[self.label_key] = label.index_copy(0, rows, label[rows].masked_fill(self._outside(label), 0))
        return d

    def _added(self, like: torch.Tensor) -> torch.Tensor:
        """What letters, tubes and electrodes add to the images that have some, float32 (k, 1, x, y), 0 to 1."""
        columns, rows = like.shape[2:]
        pictures = np.stack([draw(lines, columns, rows) for lines in self.lines])
        drawn, letters = on_device(pictures, like).to(torch.float32).div_(255).transpose(2, 3).split(1, dim=1)
        return torch.maximum(gaussian_blur(drawn, np.full((len(drawn), 2), columns / 500)), letters)

    def _block(self, image: torch.Tensor) -> None:
        """Dim some rectangles, and make others of one shade, in place."""
        columns, rows = image.shape[2:]
        where = on_device(self.blocked, image)
        changed = image[where]
        for x, y, width, height, shade, dim in self.blocks.transpose(1, 2, 0):
            share = np.where(dim > 0.3, dim, 0.0)  # of what was there
            inside = _within(np.trunc(x * columns), np.trunc((0.04 + 0.2 * width) * columns), columns, image)[..., None]
            inside = inside & _within(np.trunc(y * rows), np.trunc((0.04 + 0.2 * height) * rows), rows, image)[:, None]
            over = changed * by_image(share, image) + by_image(shade * (1 - share), image)
            changed = torch.where(inside[:, None], over, changed)
        image[where] = changed

    def _outside(self, like: torch.Tensor) -> torch.Tensor:
        """Where borders lie on the images that have some, (k, 1, x, y)."""
        columns, rows = like.shape[2:]
        left, right, top, bottom = np.trunc(self.sides * [columns, columns, rows, rows]).T
        inside = _within(left, columns - right - left, columns, like)[:, :, None]
        inside = inside & _within(top, rows - bottom - top, rows, like)[:, None, :]
        return ~inside[:, None]


def _within(start: np.ndarray, length: np.ndarray, size: int, like: torch.Tensor) -> torch.Tensor:
    """Which of an axis's pixels lie in intervals, (k, size)."""
    pixels = torch.arange(size, device=like.device)
    first, end = (on_device(values, like)[:, None] for values in (start, start + length))
    return (pixels >= first) & (pixels < end)


def draw(lines: Lines, columns: int, rows: int) -> np.ndarray:
    """Tubes and electrodes on black, and letters on black, uint8 of shape (2, rows, columns)."""
    pictures = [Image.new("L", (columns, rows)) for _ in range(2)]
    pen, letter_pen = (ImageDraw.Draw(picture) for picture in pictures)
    t = np.linspace(0, 1, 24)[:, None]
    basis = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])  # a Bezier curve
    for points, shade in lines.tubes:
        curve = basis @ (points * 1.2 - 0.1) * [columns, rows]
        pen.line([tuple(point) for point in curve.tolist()], fill=int(255 * shade), width=max(1, round(columns / 100)))
    for x, y, shade, radius in lines.discs:
        radius = columns * (0.008 + 0.025 * radius)
        box = (x * columns - radius, y * rows - radius, x * columns + radius, y * rows + radius)
        pen.ellipse(box, fill=int(90 + 150 * shade))
    for text, x, y, side, shade in lines.letters:
        x = x * 0.22 if side < 0.5 else 0.72 + x * 0.25  # letters stand at the sides
        place, size = (x * columns, y * 0.9 * rows), round(rows * (0.03 + 0.06 * shade))
        letter_pen.text(place, text, fill=int(120 + 135 * shade), font=_font(size))
    return np.stack([np.asarray(picture) for picture in pictures])


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own, which it otherwise decodes for each text."""
    return ImageFont.load_default(size)
