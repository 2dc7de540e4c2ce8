"""How many boxes are found at which price: the free-response ROC."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

import pandas as pd

from transforms import Box

from ..evaluation.rsna_score import match_boxes

Found: TypeAlias = Sequence[Sequence[tuple[float, Box]]]  # of each image, boxes with their confidence

HIT = 0.4  # intersection over union; the least that the RSNA challenge counts


def free_response(found: Found, truth: Sequence[Sequence[Sequence[float]]]) -> pd.DataFrame:
    """The share of true boxes that are found against the false boxes an image (Bunch, SPIE 1977).

    A box hits from an intersection over union of HIT on, see :func:`pipelines.evaluation.rsna_score.match_boxes`.

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
        for confidence, hit in match_boxes(boxes, true, partial(operator.le, HIT))
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
