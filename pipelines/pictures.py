"""Pictures on disk: a training's curves, and images beside their truth and prediction."""

from __future__ import annotations

import os
from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from transforms.atomic_files import atomic_path

CURVES = {"loss": "Loss", "iou": "IoU", "dice": "Dice"}
SETS = {"train": "training", "val": "validation", "test": "test"}
TRUTH, PREDICTION = "#00c2a8", "#ff7f0e"  # told apart by people with any colour vision


def draw_curves(table: pd.DataFrame, path: os.PathLike | str) -> None:
    """Draw loss, IoU and Dice over the epochs of a training: a column each, and a row for each set of images.

    Args:
        table: a row an epoch: ``epoch``, and columns named ``train_…``, ``val_…`` or ``test_…`` that hold ``loss``,
            ``iou`` or ``dice``.
        path: the PNG to write.
    """
    sets = [(prefix, title) for prefix, title in SETS.items() if any(c.startswith(f"{prefix}_") for c in table.columns)]
    figure = Figure(figsize=(15, 3.6 * len(sets) + 0.4), layout="constrained")
    grid = figure.subplots(len(sets), len(CURVES), squeeze=False, sharex=True, sharey="col")
    for row, (prefix, title) in zip(grid, sets):
        for axes, (word, name) in zip(row, CURVES.items()):
            for column in [c for c in table.columns if c.startswith(f"{prefix}_") and word in c]:
                points = table[["epoch", column]].dropna()
                label = column.removeprefix(f"{prefix}_").replace("_", " ")
                axes.plot(points["epoch"], points[column], marker=".", label=label)
            axes.set(title=f"{name}, {title}", xlabel="epoch")
            if word != "loss":
                axes.set_ylim(0, 1)
            axes.grid(alpha=0.3)
            if axes.lines:
                axes.legend(fontsize=8)
    save_figure(figure, path)


def draw_cases(cases: Sequence[dict], path: os.PathLike | str, title: str) -> None:
    """Draw a row for each case: image, truth, prediction, and both outlines over the image.

    Args:
        cases: each with ``image`` (x, y), 0 to 1; ``truth`` and ``prediction`` (x, y), boolean; ``caption``.
        path: the PNG to write.
        title: above all.
    """
    figure = Figure(figsize=(12.5, 3.3 * len(cases) + 0.4), layout="constrained")
    grid = figure.subplots(len(cases), 4, squeeze=False)
    for axes, case in zip(grid, cases):
        image, truth, prediction = (np.asarray(case[key]).T for key in ("image", "truth", "prediction"))
        for axis, name in zip(axes, ("image", "truth", "prediction", "overlay: truth green, prediction orange")):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
            axis.set_title(name, fontsize=9)
        axes[0].set_title(case["caption"], fontsize=9, loc="left")
        _fill(axes[1], truth, TRUTH)
        _fill(axes[2], prediction, PREDICTION)
        for mask, colour in ((truth, TRUTH), (prediction, PREDICTION)):
            if mask.any() and not mask.all():
                axes[3].contour(mask, levels=[0.5], colors=[colour], linewidths=1.6)
    figure.suptitle(title)
    save_figure(figure, path)


def _fill(axis, mask: np.ndarray, colour: str) -> None:
    shade = np.zeros((*mask.shape, 4))
    shade[mask > 0] = [*matplotlib.colors.to_rgb(colour), 0.45]
    axis.imshow(shade)


def save_figure(figure: Figure, path: os.PathLike | str) -> None:
    """Write a figure as PNG, atomically."""
    with atomic_path(path) as scratch:
        figure.savefig(scratch, dpi=80, format="png")
