"""Pictures of radiographs beside their truth and their prediction."""

from __future__ import annotations

import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from .figures import save_figure

TRUTH, PREDICTION = "#00c2a8", "#ff7f0e"  # told apart by people with any colour vision


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
