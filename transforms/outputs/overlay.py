"""Pictures of masks laid over their images."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from PIL import Image

from ..files.names import OutputLayout
from .png import save_png
from .save_file import SaveFiled

COLOUR = np.array([255, 127, 14], np.float32)


class SaveOverlayd(SaveFiled):
    """Writes each mask laid over its image as a PNG: a tint inside, a line at the edge.

    Args:
        keys: masks of shape (1, x, y), 0 or 1, MetaTensors that know the file of their image.
        layout: gives the name of each picture.
        image_key: the image, (1, x, y), 0 black to 1 white.
        size: pixels that the picture's longer side has at most; None for those of the image.
    """

    def __init__(self, keys: KeysCollection, layout: OutputLayout, image_key: str, size: int | None = None):
        super().__init__(keys, layout)
        self.image_key = image_key
        self.size = size

    def write(self, data: Mapping[Hashable, Any], key: Hashable, path: Path) -> None:
        image, mask = (np.asarray(data[name][0].cpu()).T for name in (self.image_key, key))
        save_png(overlay(image, mask, self.size), path)


def overlay(image: np.ndarray, mask: np.ndarray, size: int | None = None) -> np.ndarray:
    """Lay a mask over an image.

    Args:
        image: (rows, columns), 0 black to 1 white.
        mask: of the same shape; above 0 is inside.
        size: pixels that the longer side has at most; None for those of the image.

    Returns:
        uint8 of shape (rows, columns, 3).
    """
    grey, mask = shrunk(image, mask, size=size)
    inside = mask > 0
    core = inside.copy()
    for _ in range(max(1, round(max(mask.shape) / 400))):
        before = core.copy()
        core[1:] &= before[:-1]
        core[:-1] &= before[1:]
        core[:, 1:] &= before[:, :-1]
        core[:, :-1] &= before[:, 1:]
    levels = np.arange(256, dtype=np.float32)[:, None].repeat(3, axis=1)
    table = np.stack([levels, np.broadcast_to(COLOUR, levels.shape), 0.75 * levels + 0.25 * COLOUR])
    place = inside.astype(np.uint16)  # 0 outside, 1 at the edge, 2 further in
    place += core
    place <<= 8
    place += grey
    return np.take(table.round().astype(np.uint8).reshape(-1, 3), place, axis=0)


def shrunk(image: np.ndarray, labels: np.ndarray, *, size: int | None) -> tuple[np.ndarray, np.ndarray]:
    """An image and its labels, no longer side above ``size``: means of the image's pixels, and the nearest labels.

    Args:
        image: (rows, columns), 0 black to 1 white.
        labels: of the same shape.
        size: pixels, or None to leave them as they are.

    Returns:
        the image as uint8, 0 to 255, and the labels.
    """
    longer = max(labels.shape)
    if size is None or longer <= size:
        return _grey(image), labels
    shape = tuple(max(1, round(length * size / longer)) for length in labels.shape)
    rows, columns = ((np.arange(new) + 0.5) * old / new for new, old in zip(shape, labels.shape, strict=True))
    labels = labels[rows.astype(int)][:, columns.astype(int)]
    means = _means(image, min(longer // size, *image.shape))
    return np.asarray(Image.fromarray(_grey(means)).resize(shape[::-1], Image.Resampling.BOX)), labels


def _grey(image: np.ndarray) -> np.ndarray:
    return (image * np.float32(255) + np.float32(0.5)).clip(0, 255).astype(np.uint8)


def _means(image: np.ndarray, step: int) -> np.ndarray:
    """The means of squares of ``step`` pixels: from floats, three times as fast as Pillow's ``reduce``."""
    if not image.flags.c_contiguous and image.T.flags.c_contiguous:  # along memory first
        return _means(image.T, step).T
    for _ in range(2 if step > 1 else 0):  # over rows, then over columns
        length = len(image) // step * step
        total = image[:length:step].astype(np.float32)
        for first in range(1, step):
            total += image[first:length:step]
        image = total.T / np.float32(step)
    return image
