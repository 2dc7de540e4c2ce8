"""Metrics of a segmentation, each named after how it is aggregated and over which images.

One row an image holds all that is needed: how many pixels were right and wrong, and the image's score.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from monai.metrics import compute_average_surface_distance
from sklearn.metrics import roc_auc_score

from transforms.atomic_files import atomic_write

logger = logging.getLogger(__name__)


def image_row(probability: np.ndarray, truth: np.ndarray, threshold: float) -> dict[str, float]:
    """What one image adds to the metrics.

    Args:
        probability: 0 to 1, of any shape.
        truth: of the same shape; above 0 is inside.
        threshold: a pixel at or above it is predicted.

    Returns:
        counts of pixels ``tp``, ``fp``, ``fn``, ``tn``; ``score``, the greatest probability of a pixel; and ``dice``
        and ``iou``, not a number where neither truth nor prediction has a pixel.

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
        "dice": _ratio(2 * tp, 2 * tp + fp + fn),
        "iou": _ratio(tp, tp + fp + fn),
    }


def summarise(rows: pd.DataFrame, batch_size: int, threshold: float) -> dict[str, float | None]:
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
        the metrics; None where one is not defined, as a rate over negatives where there are none.
    """
    positive = (rows["tp"] + rows["fn"] > 0).to_numpy()
    called = (rows["score"] >= threshold).to_numpy()
    negatives = rows[~positive]
    batches = rows[["tp", "fp", "fn"]].groupby(np.arange(len(rows)) // batch_size).sum()
    batches = batches[batches.sum(axis=1) > 0]
    tp, fp, fn = (float(rows[name].sum()) for name in ("tp", "fp", "fn"))
    both = 0 < positive.sum() < len(rows)
    metrics = {
        "images": len(rows),
        "positives": int(positive.sum()),
        "dice_by_image_over_positives": rows["dice"][positive].mean(),
        "dice_by_image_over_positives_standard_deviation": rows["dice"][positive].std(ddof=0),
        "dice_by_image_over_positives_5th_percentile": rows["dice"][positive].quantile(0.05),
        "iou_by_image_over_positives": rows["iou"][positive].mean(),
        f"dice_by_batch_of_{batch_size}_over_all": (
            2 * batches["tp"] / (2 * batches["tp"] + batches["fp"] + batches["fn"])
        ).mean(),
        f"iou_by_batch_of_{batch_size}_over_all": (
            batches["tp"] / (batches["tp"] + batches["fp"] + batches["fn"])
        ).mean(),
        "dice_pooled_over_all": _ratio(2 * tp, 2 * tp + fp + fn),
        "iou_pooled_over_all": _ratio(tp, tp + fp + fn),
        "precision_pooled_over_all": _ratio(tp, tp + fp),
        "recall_pooled_over_all": _ratio(tp, tp + fn),
        "f1_pooled_over_all": _ratio(2 * tp, 2 * tp + fp + fn),
        "false_positive_rate_by_pixel_over_negatives": _ratio(
            negatives["fp"].sum(), (negatives["fp"] + negatives["tn"]).sum()
        ),
        "false_positive_rate_by_image_over_negatives": _ratio((called & ~positive).sum(), (~positive).sum()),
        "image_roc_auc_over_all": roc_auc_score(positive, rows["score"]) if both else float("nan"),
        "image_sensitivity_over_positives": _ratio((called & positive).sum(), positive.sum()),
        "image_specificity_over_negatives": _ratio((~called & ~positive).sum(), (~positive).sum()),
    }
    for unit in ("pixels", "mm"):
        if f"surface_distance_{unit}" in rows:
            metrics[f"average_surface_distance_in_{unit}_by_image_where_both_have_a_surface"] = rows[
                f"surface_distance_{unit}"
            ].mean()
    return {name: None if np.isnan(value) else value for name, value in metrics.items()}


def surface_distances(
    prediction: np.ndarray, truth: np.ndarray, spacing: tuple[float, float] | None
) -> dict[str, float]:
    """The average symmetric surface distance of two masks, in pixels and in millimetres.

    Args:
        prediction: boolean, of shape (x, y).
        truth: of the same shape.
        spacing: along (x, y) in millimetres, or None if it is not known.

    Returns:
        ``surface_distance_pixels`` and ``surface_distance_mm``; not a number where a mask is empty or, in millimetres,
        where the spacing is not known.
    """
    both = bool(prediction.any() and truth.any())
    masks = [torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (prediction, truth)]
    return {
        f"surface_distance_{unit}": float(
            compute_average_surface_distance(*masks, include_background=True, symmetric=True, spacing=steps)
        )
        if both and steps is not None
        else float("nan")
        for unit, steps in (("pixels", (1.0, 1.0)), ("mm", spacing))
    }


def write_metrics(metrics: dict[str, float | None], folder: Path) -> None:
    """Write ``metrics.json`` and ``metrics.csv`` into a folder."""
    with atomic_write(folder / "metrics.json") as file:
        json.dump(metrics, file, indent=2)
    with atomic_write(folder / "metrics.csv") as file:
        pd.Series(metrics, name="value").rename_axis("metric").to_csv(file)


def log_metrics(metrics: dict[str, float | None], folder: Path) -> None:
    """Show metrics that were written into a folder as a table in the log."""
    shown = {name: "not defined" if value is None else f"{value:.4g}" for name, value in metrics.items()}
    width = max(len(name) for name in metrics)
    lines = [f"{name:{width}}  {value}" for name, value in shown.items()]
    logger.info("evaluation, written to %s:\n%s", folder, "\n".join(lines))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
