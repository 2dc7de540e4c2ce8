"""Pictures of labelled volumes: classes as colours over slices."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from scipy.ndimage import maximum_filter, minimum_filter

from ..files.names import OutputLayout
from .overlay import shrunk
from .png import save_png
from .save_file import SaveFiled

# For the classes 1, 2, ...: those of Okabe and Ito, which people with any colour vision can tell apart
CLASS_COLOURS = ("#d55e00", "#0072b2", "#f0e442", "#56b4e9", "#009e73", "#cc79a7", "#e69f00")
COLUMNS, ROWS = 4, 3  # of slices in a picture


def class_overlay(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Lay labels over a slice: a tint inside each class, a line at its edge.

    Args:
        image: (rows, columns), 0 black to 1 white.
        labels: integers of the same shape, 0 background; the class n has the colour n - 1 of CLASS_COLOURS, modulo
            their number.

    Returns:
        uint8 of shape (rows, columns, 3).
    """
    colours = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in CLASS_COLOURS], np.float32)
    picture = np.repeat(image[..., None].astype(np.float32) * 255, 3, axis=2)
    inside = labels > 0
    edge = inside & (maximum_filter(labels, 3) != minimum_filter(labels, 3))
    colour = colours[(labels.astype(int) - 1) % len(colours)]
    picture[inside] = 0.65 * picture[inside] + 0.35 * colour[inside]
    picture[edge] = colour[edge]
    return np.clip(picture, 0, 255).round().astype(np.uint8)


class SaveVolumeOverlayd(SaveFiled):
    """Writes a PNG of COLUMNS x ROWS slices of each labelled volume, the labels laid over the image.

    The slices are spread evenly from the last to the first along z that has a label, or over the whole volume if none
    has. They are shown as they lie in the tensors, x to the right and y downwards: for the usual view, from the head
    down, volumes must have been brought to LPS, as they are in the network's grid.

    Args:
        keys: labels of shape (1, x, y, z), integers, MetaTensors that know the file of their image.
        layout: gives the name of each picture.
        image_key: the image of the same shape, 0 black to 1 white.
        size: pixels that the picture's longer side has at most, in COLUMNS slices; None for slices as they are.
    """

    def __init__(self, keys: KeysCollection, layout: OutputLayout, image_key: str = "image", size: int | None = None):
        super().__init__(keys, layout)
        self.image_key = image_key
        self.size = None if size is None else max(1, size // COLUMNS)

    def write(self, data: Mapping[Hashable, Any], key: Hashable, path: Path) -> None:
        image, labels = data[self.image_key][0], data[key][0]
        labelled = torch.nonzero((labels > 0).any(dim=0).any(dim=0)).flatten().tolist() or range(labels.shape[-1])
        places = np.linspace(labelled[-1], labelled[0], COLUMNS * ROWS).round().astype(int)
        tiles = []
        for place in dict.fromkeys(places.tolist()):  # a slice once
            shown, classes = shrunk(image[None, ..., place], np.asarray(labels[..., place].cpu()), self.size)
            tiles.append(class_overlay(shown.T, classes.T))
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
        rows = [np.concatenate(tiles[i : i + COLUMNS], axis=1) for i in range(0, len(tiles), COLUMNS)]
        save_png(np.concatenate(rows), path)
