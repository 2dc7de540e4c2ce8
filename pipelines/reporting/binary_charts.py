"""What a report shows of bundles of one class: calls of images, thresholds, calibration, boxes."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from ..evaluation.pixels import by_threshold, reliability
from .boxes import HIT, free_response
from .charts import Chart, curve, reliability_diagram, thresholds
from .measured import Measured


def binary_charts(
    measured: Measured,
    validation: Measured | None,
    threshold: float,
    temperature: float | None,
    in_sample: bool = False,
) -> list[Chart]:
    """The charts of one evaluation.

    Args:
        measured: of the split that is reported.
        validation: of the split that thresholds are chosen on.
        threshold: that was in use.
        temperature: of the weights, or fitted on ``validation``.
        in_sample: whether it was fitted to images that are reported.
    """
    charts = []
    if measured.marked is not None and 0 < (positive := measured.marked > 0).mean() < 1:
        score = measured.cases["score"]
        false, true, _ = roc_curve(positive, score)
        text = f"Area {roc_auc_score(positive, score):.3f}; an image's score is its greatest probability."
        labels = ("1 - specificity, of images", "sensitivity, of images")
        charts.append(curve("ROC: which images have a finding", false, true, labels, text, chance=True))
        precision, recall, _ = precision_recall_curve(positive, score)
        text = f"{positive.sum()} of {len(positive)} images have a finding."
        charts.append(curve("Precision and recall, of images", recall, precision, ("recall", "precision"), text))
    if measured.pixels is not None:
        splits = [("this split", measured.pixels)]
        if validation is not None and validation.pixels is not None:
            splits.insert(0, ("validation, which thresholds are chosen on", validation.pixels))
        tables = [(name, by_threshold(pixels)) for name, pixels in splits]
        key = "dice_by_image_over_positives"
        if defined := [(name, table) for name, table in tables if table[key].notna().any()]:
            charts.append(thresholds(defined, threshold, key))
        table = tables[-1][1]
        charts.append(
            curve(
                "Precision and recall, of pixels",
                table["recall_pooled_over_all"],
                table["precision_pooled_over_all"],
                ("recall", "precision"),
                "Pixels of all images as one, at thresholds from 0.01 to 0.99.",
            )
        )
        diagrams = [("as predicted", reliability(measured.pixels))]
        if temperature is not None:
            name = f"temperature {temperature:.2f}{', in-sample' if in_sample else ''}"
            diagrams.append((name, reliability(measured.pixels, temperature)))
        charts.append(reliability_diagram(diagrams, in_sample))
    if measured.boxes is not None and not (found := free_response(**measured.boxes)).empty:
        false, share = [0, *found["false_boxes_an_image"]], [0, *found["sensitivity"]]
        at = f"{np.interp(1, false, share):.2f}" if false[-1] >= 1 else f"not reached; at most {share[-1]:.2f}"
        text = f"Boxes hit from an intersection over union of {HIT} on. At one false box an image: {at}."
        labels = ("false boxes an image", "share of true boxes found")
        title = "Free-response ROC: which boxes are found"
        charts.append(curve(title, false, share, labels, text))
    return charts
