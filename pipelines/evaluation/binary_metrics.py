"""Metrics of radiographs with one mask, each named after how it is aggregated and over which images.

One row an image holds all that is needed: how many pixels were right and wrong, the image's score and its metrics.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from .metric_table import OVERLAP, dice, mean_surface, measure_overlap, measure_surface, ratio

AUC = "image_roc_auc_over_all"  # of the images' scores


def image_row(
    probability: np.ndarray, truth: np.ndarray, threshold: float, spacing: Sequence[float] | None = None
) -> dict[str, float]:
    """What one image adds to the metrics.

    Args:
        probability: (x, y), 0 to 1.
        truth: of the same shape; above 0 is inside.
        threshold: a pixel at or above it is predicted.
        spacing: of the pixels along (x, y) in millimetres, or None if it is not known.

    Returns:
        counts of pixels ``tp``, ``fp``, ``fn``, ``tn``; ``score``, the greatest probability of a pixel; and the metrics
        of :mod:`pipelines.evaluation.metric_table`, those of surfaces in pixels and in millimetres.

    Raises:
        ValueError: if the shapes differ.
    """
    if probability.shape != truth.shape:
        raise ValueError(f"the prediction is of shape {probability.shape}, the truth of shape {truth.shape}.")
    predicted, true = probability >= threshold, truth > 0
    tp = int((predicted & true).sum())
    fp, fn = int(predicted.sum()) - tp, int(true.sum()) - tp
    return {
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "tn": predicted.size - tp - fp - fn,
        "score": float(probability.max()),
        **measure_overlap(tp, fp, fn),
        **measure_surface(predicted, true, {"pixels": (1.0, 1.0), "mm": spacing}),
    }


def summarise(rows: pd.DataFrame, batch_size: int, threshold: float) -> dict[str, float]:
    """Aggregate the rows of a set of images.

    ``by_image`` is the mean of the images' values; ``by_batch_of_N`` pools the pixels of N images that follow each
    other, as U-Net projects on this data report it, and takes the mean over such batches that have a pixel of truth
    or prediction; ``pooled`` takes all pixels of all images as one. Positives are images whose truth has a pixel.
    F1 and Dice of pooled pixels are one number under two names. An image is called positive if a pixel is predicted.

    Args:
        rows: of :func:`image_row`, one an image.
        batch_size: N.
        threshold: that the rows were made with.

    Returns:
        the metrics; not a number where one is not defined, such as a rate over negatives without any.
    """
    positive = (rows["tp"] + rows["fn"] > 0).to_numpy()
    called = (rows["score"] >= threshold).to_numpy()
    negatives = rows[~positive]
    batches = rows[["tp", "fp", "fn"]].groupby(np.arange(len(rows)) // batch_size).sum()
    by_batch = pd.DataFrame(measure_overlap(*(batches[name] for name in ("tp", "fp", "fn"))))
    tp, fp, fn = (float(rows[name].sum()) for name in ("tp", "fp", "fn"))
    both = 0 < positive.sum() < len(rows)
    return {
        "images": len(rows),
        "positives": int(positive.sum()),
        **{f"{name}_by_image_over_positives": rows[name][positive].mean() for name in OVERLAP},
        "dice_by_image_over_positives_standard_deviation": rows["dice"][positive].std(ddof=0),
        "dice_by_image_over_positives_5th_percentile": rows["dice"][positive].quantile(0.05),
        **{f"{name}_by_batch_of_{batch_size}_over_all": by_batch[name].mean() for name in OVERLAP},
        **{f"{name}_pooled_over_all": value for name, value in measure_overlap(tp, fp, fn).items()},
        "precision_pooled_over_all": ratio(tp, tp + fp),
        "recall_pooled_over_all": ratio(tp, tp + fn),
        "f1_pooled_over_all": dice(tp, fp, fn),
        "false_positive_rate_by_pixel_over_negatives": ratio(
            negatives["fp"].sum(), (negatives["fp"] + negatives["tn"]).sum()
        ),
        "false_positive_rate_by_image_over_negatives": ratio((called & ~positive).sum(), (~positive).sum()),
        AUC: roc_auc_score(positive, rows["score"]) if both else float("nan"),
        "image_sensitivity_over_positives": ratio((called & positive).sum(), positive.sum()),
        "image_specificity_over_negatives": ratio((~called & ~positive).sum(), (~positive).sum()),
        **mean_surface(rows, "image"),
    }
