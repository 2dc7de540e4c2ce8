"""The RSNA Pneumonia Detection Challenge's own score: mean average precision.

The score is as the challenge defines it: https://www.kaggle.com/c/rsna-pneumonia-detection-challenge/overview/evaluation
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from transforms import Box

CHALLENGE = "challenge_mean_average_precision_over_images_with_boxes_or_predictions"  # the score of a set of images

IOU_THRESHOLDS = tuple(np.round(np.arange(0.4, 0.8, 0.05), 2))  # 0.40, 0.45, ... 0.75


def box_iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes ``[x, y, width, height]``."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (a[2] * a[3] + b[2] * b[3] - width * height)


def image_average_precision(found: Sequence[tuple[float, Box]], truth: Sequence[Sequence[float]]) -> float | None:
    """The challenge's score of one image: TP / (TP + FP + FN), averaged over the IoU thresholds.

    A prediction hits if its IoU with a true box not yet hit is greater than the threshold; the more confident
    prediction chooses first, and takes the true box that it overlaps most.

    Returns:
        0 to 1, or None if there is no box and no prediction: the challenge leaves such images out.
    """
    if not found and not truth:
        return None
    precisions = []
    for threshold in IOU_THRESHOLDS:
        hits = sum(hit for _, hit in match_boxes(found, truth, partial(operator.lt, threshold)))
        precisions.append(hits / (len(found) + len(truth) - hits))
    return float(np.mean(precisions))


def match_boxes(
    found: Sequence[tuple[float, Box]], truth: Sequence[Sequence[float]], hits: Callable[[float], bool]
) -> list[tuple[float, bool]]:
    """Which predicted boxes of an image hit a true one. Surer boxes choose first.

    A box takes, of the true boxes that none has hit yet, the one that it overlaps most.

    Args:
        found: boxes with their confidence.
        truth: boxes ``[x, y, width, height]``.
        hits: whether an intersection over union is a hit.

    Returns:
        the confidence of each and whether it hits, the surest first.
    """
    free = list(truth)
    matched = []
    for confidence, box in sorted(found, key=lambda item: -item[0]):
        overlaps = [box_iou(box, true) for true in free]
        hit = bool(overlaps) and hits(max(overlaps))
        if hit:
            free.pop(int(np.argmax(overlaps)))
        matched.append((confidence, hit))
    return matched


def average_precisions(
    found: Sequence[Sequence[tuple[float, Box]]], truth: Sequence[Sequence[Sequence[float]]], confidence: float = 0.0
) -> pd.Series:
    """The challenge's score of each image of a set; that of the set is their mean.

    Args:
        found: of each image, boxes with their confidence.
        truth: of each image, the true boxes, ``[x, y, width, height]``.
        confidence: that a box must have to count.

    Returns:
        0 to 1; not a number of an image without a box and a prediction.
    """
    pairs = zip(found, truth, strict=True)
    scores = [image_average_precision([box for box in boxes if box[0] >= confidence], true) for boxes, true in pairs]
    return pd.Series(scores, dtype=float)
