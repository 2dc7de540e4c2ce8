"""What all figures on disk share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from transforms.files.atomic import atomic_path

SHOWN = 480  # pixels of a picture's longer side, at least: a panel has 250


@dataclass(frozen=True)
class Panel:
    """One picture of a figure.

    Args:
        title: above it.
        picture: (rows, columns), 0 black to 1 white; or in RGB, (rows, columns, 3).
        outlines: masks (rows, columns) by the colours in which they are outlined.
    """

    title: str
    picture: np.ndarray
    outlines: Sequence[tuple[str, np.ndarray]] = ()


def draw_rows(
    rows: Sequence[Sequence[Panel]], path: os.PathLike | str, title: str, key: Mapping[str, str] | None = None
) -> None:
    """Draw rows of pictures of the same number.

    Args:
        rows: of pictures.
        path: the PNG to write.
        title: above all.
        key: colours by what they stand for, below all.
    """
    figure = Figure(figsize=(12.5, 3.3 * len(rows) + 0.8), layout="constrained")
    for axes, row in zip(figure.subplots(len(rows), len(rows[0]), squeeze=False), rows, strict=True):
        for axis, panel in zip(axes, row, strict=True):
            axis.imshow(_shrunk(panel.picture).astype(panel.picture.dtype), cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
            axis.set(xticks=[], yticks=[])  # which are laid out even so
            axis.set_title(panel.title, fontsize=9)
            for colour, mask in panel.outlines:
                if mask.any() and not mask.all():
                    axis.contour(_shrunk(mask), levels=[0.5], colors=[colour], linewidths=1.4)
    figure.suptitle(title)
    if key:
        patches = [Patch(color=colour, label=name) for name, colour in key.items()]
        figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), fontsize=9)
    save_figure(figure, path)


def _shrunk(picture: np.ndarray) -> np.ndarray:
    """Means of squares, as many as a panel can show: drawing the pixels of radiographs takes seconds a figure."""
    factor = max(1, max(picture.shape[:2]) // SHOWN)
    rows, columns = (max(1, length // factor) for length in picture.shape[:2])
    if factor == 1 or min(picture.shape[:2]) < factor:
        return picture
    squares = picture[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, *picture.shape[2:])
    return squares.mean(axis=(1, 3), dtype=np.float32)


def save_figure(figure: Figure, path: os.PathLike | str) -> None:
    """Write a figure as PNG, atomically."""
    with atomic_path(path) as scratch:
        figure.savefig(scratch, dpi=80, format="png")
