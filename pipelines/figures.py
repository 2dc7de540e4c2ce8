"""What all figures on disk share."""

from __future__ import annotations

import os

from matplotlib.figure import Figure

from transforms.atomic_files import atomic_path


def save_figure(figure: Figure, path: os.PathLike | str) -> None:
    """Write a figure as PNG, atomically."""
    with atomic_path(path) as scratch:
        figure.savefig(scratch, dpi=80, format="png")
