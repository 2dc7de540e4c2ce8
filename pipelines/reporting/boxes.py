"""How many boxes are found at which price: the free-response ROC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd

from transforms import Box

from ..evaluation.rsna_score import box_iou

Found: TypeAlias = Sequence[Sequence[tuple[float, Box]]]  # of each image, boxes with their confidence

HIT = 0.4  # intersection over union; the least that the RSNA challenge counts


def free_response(found: Found, truth: Sequence[Sequence[Sequence[float]]]) -> pd.DataFrame:
    """The share of true boxes that are found against the false boxes an image (Bunch, SPIE 1977).

    Surer boxes choose first. A box hits, of the true boxes that none has hit yet, the one that it overlaps most, if
    their intersection over union is at least HIT.

    Args:
        found: of each image, boxes with their confidence.
        truth: of each image, the true boxes, ``[x, y, width, height]``.

    Returns:
        a row for each confidence, falling: ``confidence``, ``false_boxes_an_image``, ``sensitivity``; none if there is
        no true box.
    """
    total = sum(map(len, truth))
    if not total:
        return pd.DataFrame(columns=["confidence", "false_boxes_an_image", "sensitivity"])
    called = [
        (confidence, hit)
        for boxes, true in zip(found, truth, strict=True)
        for confidence, hit in _hits(sorted(boxes, key=lambda item: -item[0]), true)
    ]
    table = pd.DataFrame(called, columns=["confidence", "hit"]).sort_values("confidence", ascending=False)
    hits, misses = table["hit"].astype(float).cumsum(), (~table["hit"].astype(bool)).cumsum()
    curve = pd.DataFrame(
        {
            "confidence": table["confidence"],
            "false_boxes_an_image": misses / len(truth),
            "sensitivity": hits / total,
        }
    )
    return curve.drop_duplicates("confidence", keep="last").reset_index(drop=True)


def _hits(boxes: Sequence[tuple[float, Box]], truth: Sequence[Sequence[float]]) -> list[tuple[float, bool]]:
    free = list(truth)
    result = []
    for confidence, box in boxes:
        overlaps = [box_iou(box, true) for true in free]
        hit = bool(overlaps) and max(overlaps) >= HIT
        if hit:
            free.pop(int(np.argmax(overlaps)))
        result.append((confidence, hit))
    return result
