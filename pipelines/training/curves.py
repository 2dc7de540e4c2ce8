"""The curves of a training."""

from __future__ import annotations

import os

import pandas as pd
from matplotlib.figure import Figure

from ..figures import save_figure

CURVES = {"loss": "Loss", "iou": "IoU", "dice": "Dice"}
SETS = {"train": "training", "val": "validation", "test": "test"}


def draw_curves(table: pd.DataFrame, path: os.PathLike | str) -> None:
    """Write the figure of :func:`curves` as PNG."""
    save_figure(curves(table), path)


def curves(table: pd.DataFrame) -> Figure:
    """Loss, IoU and Dice over the epochs of a training: a column each, and a row for each set of images.

    What the table has no value of gets no panel.

    Args:
        table: a row an epoch: ``epoch``, and columns named ``train_…``, ``val_…`` or ``test_…`` that hold ``loss``,
            ``iou`` or ``dice``.
    """
    sets = [(prefix, title) for prefix, title in SETS.items() if any(c.startswith(f"{prefix}_") for c in table.columns)]
    figure = Figure(figsize=(15, 3.6 * len(sets) + 0.4), layout="constrained")
    grid = figure.subplots(len(sets), len(CURVES), squeeze=False, sharex=True, sharey="col")
    measured = table.dropna(axis="columns", how="all").columns
    for row, (prefix, title) in zip(grid, sets, strict=True):
        for axes, (word, name) in zip(row, CURVES.items(), strict=True):
            columns = [c for c in measured if c.startswith(f"{prefix}_") and word in c]
            if not columns:
                axes.remove()
                continue
            for column in columns:
                points = table[["epoch", column]].dropna()
                label = column.removeprefix(f"{prefix}_").replace("_", " ")
                axes.plot(points["epoch"], points[column], marker=".", label=label)
            axes.set(title=f"{name}, {title}", xlabel="epoch")
            axes.tick_params(labelbottom=True)  # there may be no panel below
            if word != "loss":
                axes.set_ylim(0, 1)
            axes.grid(alpha=0.3)
            axes.legend(fontsize=8)
    return figure
