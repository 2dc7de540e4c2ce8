"""The curves of a training."""

from __future__ import annotations

import os

import pandas as pd
from matplotlib.figure import Figure

from .figures import save_figure

CURVES = {"loss": "Loss", "iou": "IoU", "dice": "Dice"}
SETS = {"train": "training", "val": "validation", "test": "test"}


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
