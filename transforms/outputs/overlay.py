"""Pictures of masks laid over their images."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor

from ..files.names import OutputLayout
from ..grid.levels import LEVELS, grey_levels, resample
from .png import save_png
from .save_file import SaveFiled

COLOUR = np.array([255, 127, 14], np.float32)


class SaveOverlayd(SaveFiled):
    """Writes each mask laid over its image as a PNG: a tint inside, a line at the edge.

    Args:
        keys: masks of shape (1, x, y), 0 or 1, MetaTensors that know the file of their image.
        layout: gives the name of each picture.
        image_key: the image, (1, x, y), 0 black to 1 white, or integers as ``RadiographReader(indexed=True)`` gives
            them.
        size: pixels that the picture's longer side has at most; None for those of the image.
    """

    def __init__(self, keys: KeysCollection, layout: OutputLayout, image_key: str, size: int | None = None):
        super().__init__(keys, layout)
        self.image_key = image_key
        self.size = size

    def write(self, data: Mapping[Hashable, Any], key: Hashable, path: Path) -> None:
        image, mask = shrunk(data[self.image_key], np.asarray(data[key][0].cpu()), self.size)
        save_png(overlay(image.T, mask.T), path)


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Lay a mask over an image.

    Args:
        image: (rows, columns), 0 black to 1 white.
        mask: of the same shape; above 0 is inside.

    Returns:
        uint8 of shape (rows, columns, 3).
    """
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
    place += (image * np.float32(255) + np.float32(0.5)).clip(0, 255).astype(np.uint8)
    return np.take(table.round().astype(np.uint8).reshape(-1, 3), place, axis=0)


def shrunk(image: torch.Tensor, labels: np.ndarray, size: int | None) -> tuple[np.ndarray, np.ndarray]:
    """An image and its labels, no longer side above ``size``: the image resampled, and the nearest labels.

    Args:
        image: (1, x, y), 0 black to 1 white, or integers as ``RadiographReader(indexed=True)`` gives them.
        labels: (x, y).
        size: pixels, or None to leave them as they are.

    Returns:
        the image as values, float32, and the labels, both (x, y).
    """
    longer = max(labels.shape)
    if size is None or longer <= size:
        if not (isinstance(image, MetaTensor) and LEVELS in image.meta):
            return np.asarray(image[0].cpu()), labels
        integers, levels = grey_levels(image)
        return levels.take(integers), labels
    x, y = (max(1, round(length * size / longer)) for length in labels.shape)
    columns, rows = ((np.arange(new) + 0.5) * old / new for new, old in zip((x, y), labels.shape, strict=True))
    return resample(*grey_levels(image), (x, y)), labels[columns.astype(int)][:, rows.astype(int)]
