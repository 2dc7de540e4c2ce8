"""Pictures of a segmentation into classes: confusion matrix, ROC curves, slices beside truth and prediction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from transforms import CLASS_COLOURS, class_overlay

from ..figures import Panel, draw_rows, save_figure


def draw_confusion(counts: np.ndarray, classes: Sequence[str], path: os.PathLike | str) -> None:
    """Draw a confusion matrix as shares of each true class, which is a row.

    Args:
        counts: (classes, classes), a row a true class.
        classes: their names, the background first.
        path: the PNG to write.
    """
    with np.errstate(invalid="ignore"):
        shares = counts / counts.sum(axis=1, keepdims=True)
    figure = Figure(figsize=(1.1 * len(classes) + 2.2, 1.0 * len(classes) + 1.6), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        text = "none" if np.isnan(share) else f"{share:.1%}" if share >= 0.0005 or share == 0 else "<0.1%"
        axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.5 else "black", fontsize=9)
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="predicted", ylabel="true", title="Voxels of each true class, by what they are predicted as")
    figure.colorbar(shown, shrink=0.8)
    save_figure(figure, path)


def draw_roc(curves: dict[str, tuple[np.ndarray, np.ndarray]], path: os.PathLike | str) -> None:
    """Draw ROC curves, one a class.

    Args:
        curves: false and true positive rates, by what the legend says.
        path: the PNG to write.
    """
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    colours = ("black", *CLASS_COLOURS)
    for axes, limit in zip(figure.subplots(1, 2), (1.0, 0.05), strict=True):
        for (name, (false, true)), colour in zip(curves.items(), cycle(colours)):
            # of many thousands of points, only those that a picture can show
            _, kept = np.unique((np.stack([false / limit, true]) * 2000).round(), axis=1, return_index=True)
            axes.plot(false[np.sort(kept)], true[np.sort(kept)], color=colour, label=name)
        axes.set(xlim=(0, limit), ylim=(0, 1), xlabel="false positive rate", ylabel="true positive rate")
        axes.set_title("One class against the rest" + ("" if limit == 1 else f", up to {limit:.0%}"))
        axes.grid(alpha=0.3)
    figure.axes[0].plot([0, 1], [0, 1], color="grey", linestyle=":")
    if curves:
        figure.axes[0].legend(fontsize=8, loc="lower right")
    save_figure(figure, path)


def draw_class_cases(cases: Sequence[dict], classes: Sequence[str], path: os.PathLike | str, title: str) -> None:
    """Draw a row for each case: a slice, its truth, its prediction, and where the two differ.

    Args:
        cases: each with ``image`` (x, y), 0 to 1; ``truth`` and ``prediction`` (x, y), labels; ``caption``.
        classes: the labels' names, the background first.
        path: the PNG to write.
        title: above all.
    """
    rows = []
    for case in cases:
        image, truth, prediction = (np.asarray(case[key]).T for key in ("image", "truth", "prediction"))
        outlines = [("white", truth == number) for number in np.unique(truth[truth > 0])]
        rows.append(
            [
                Panel(case["caption"], image),
                Panel("truth", class_overlay(image, truth)),
                Panel("prediction", class_overlay(image, prediction)),
                Panel("overlay: prediction, outline of the truth in white", class_overlay(image, prediction), outlines),
            ]
        )
    draw_rows(rows, path, title, dict(zip(classes[1:], cycle(CLASS_COLOURS))))
