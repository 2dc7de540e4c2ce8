"""Pictures of masks laid over their images."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from PIL import Image
from scipy.ndimage import binary_erosion

from ..files.atomic import atomic_path
from ..files.names import OutputLayout
from .save_file import SaveFiled

COLOUR = np.array([255, 127, 14], np.float32)


class SaveOverlayd(SaveFiled):
    """Writes each mask laid over its image as a PNG in the image's own grid: a tint inside, a line at the edge.

    Args:
        keys: masks of shape (1, x, y), 0 or 1, MetaTensors that know the file of their image.
        layout: gives the name of each picture.
        image_key: the image in the same grid, (1, x, y), 0 black to 1 white.
    """

    def __init__(self, keys: KeysCollection, layout: OutputLayout, image_key: str):
        super().__init__(keys, layout)
        self.image_key = image_key

    def write(self, data: Mapping[Hashable, Any], key: Hashable, path: Path) -> None:
        image, mask = (np.asarray(data[name][0].cpu()).T for name in (self.image_key, key))
        save_png(overlay(image, mask > 0), path)


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Lay a mask over an image.

    Args:
        image: (rows, columns), 0 black to 1 white.
        mask: boolean, of the same shape.

    Returns:
        uint8 of shape (rows, columns, 3).
    """
    picture = np.repeat(image[..., None] * 255, 3, axis=2)
    edge = mask & ~binary_erosion(mask, iterations=max(1, round(max(mask.shape) / 400)), border_value=1)
    picture[mask] = 0.75 * picture[mask] + 0.25 * COLOUR
    picture[edge] = COLOUR
    return np.clip(picture, 0, 255).round().astype(np.uint8)


def save_png(picture: np.ndarray, path: os.PathLike | str) -> None:
    """Write a picture, uint8 of shape (rows, columns, 3), atomically."""
    with atomic_path(path) as scratch:
        Image.fromarray(picture).save(scratch, format="png")
