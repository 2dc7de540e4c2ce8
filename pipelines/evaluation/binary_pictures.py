"""Pictures of radiographs beside their truth and their prediction."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb

from ..figures import Panel, draw_rows

TRUTH, PREDICTION = "#00c2a8", "#ff7f0e"  # people with any colour vision can tell them apart


def draw_cases(cases: Sequence[dict], path: os.PathLike | str, title: str) -> None:
    """Draw a row for each case: image, truth, prediction, and both outlines over the image.

    Args:
        cases: each with ``image`` (x, y), 0 to 1; ``truth`` and ``prediction`` (x, y), boolean; ``caption``.
        path: the PNG to write.
        title: above all.
    """
    rows = []
    for case in cases:
        image, truth, prediction = (np.asarray(case[key]).T for key in ("image", "truth", "prediction"))
        outlines = [(TRUTH, truth), (PREDICTION, prediction)]
        rows.append(
            [
                Panel(case["caption"], image),
                Panel("truth", _shaded(image, truth, TRUTH)),
                Panel("prediction", _shaded(image, prediction, PREDICTION)),
                Panel("overlay: truth green, prediction orange", image, outlines),
            ]
        )
    draw_rows(rows, path, title)


def _shaded(image: np.ndarray, mask: np.ndarray, colour: str) -> np.ndarray:
    picture = np.repeat(image[..., None].clip(0, 1), 3, axis=2)
    picture[mask > 0] = 0.55 * picture[mask > 0] + 0.45 * np.array(to_rgb(colour))
    return picture
