"""The test split that a cross-validation keeps from its folds: each model on it, and their ensemble."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from transforms.files.atomic import atomic_write

from ..bundle import Bundle
from ..ensembles.weights import ensemble_overlay
from ..evaluation.binary_metrics import AUC
from ..evaluation.metric_table import OVERLAP
from ..evaluation.rsna_score import CHALLENGE, average_precisions
from ..provenance import is_of
from ..reporting.comparison import read_images
from ..reporting.intervals import Interval, mean_interval
from .running import run_bundle

logger = logging.getLogger(__name__)


def evaluate_kept(
    bundle: Bundle, folder: Path, models: Sequence[Path], names: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Evaluate the models of all folds, and their ensemble, on images that none of them has seen.

    Writes the evaluation of each into ``fold_K/test`` and of the ensemble into ``ensemble/test``; what is there
    already, of the same weights, images and configuration, is not made again.

    Args:
        bundle: whose models these are.
        folder: where the evaluations go.
        models: the file of weights of each fold.
        names: of the configuration of an evaluation and its overlays.
        settings: of each evaluation, ``manifest`` and ``dataset_dir`` among them; its test split is evaluated.

    Returns:
        what :func:`compare_with_singles` gives.

    Raises:
        DataError: if an evaluation fails.
    """
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in settings.items()}
    for number, model in enumerate(models):
        given = {**settings, "ckpt_dir": str(model.parent), "output_dir": str(folder / f"fold_{number}")}
        if not is_of(folder / f"fold_{number}" / "test", bundle.read(names, **given)):
            run_bundle(bundle, bundle.files(names), "evaluating", given)
    given = {**settings, "output_dir": str(folder / "ensemble")}
    parser = bundle.read(names, **given)
    overlay = ensemble_overlay(parser, models)
    parser.update(pairs=overlay)
    if not is_of(folder / "ensemble" / "test", parser):
        with atomic_write(folder / "ensemble.json") as file:
            json.dump(overlay, file, indent=2)
        # what was given for the network is in the overlay, where it is that of each model
        given = {key: value for key, value in given.items() if not key.startswith("network_def")}
        run_bundle(bundle, [*bundle.files(names), str(folder / "ensemble.json")], "evaluating", given)
    confidence = parser.get_parsed_content("box_confidence") if bundle.finds_boxes else None
    singles = [folder / f"fold_{number}" / "test" for number in range(len(models))]
    return compare_with_singles(folder / "ensemble" / "test", singles, confidence)


def compare_with_singles(ensemble: Path, singles: Sequence[Path], box_confidence: float | None) -> dict[str, Any]:
    """What an ensemble gains over its models, on the same images.

    Args:
        ensemble: the folder of its evaluation.
        singles: the folder of each model's.
        box_confidence: that a box must have to count in the challenge's score; None of a bundle that finds no boxes.

    Returns:
        for Dice and IoU by image over positives the mean and its 95 % interval by patient: of the ``ensemble``, of each
        of the ``singles``, of ``mean_single``, the mean of the models image by image, and of the ``difference``, the
        ensemble less that. The challenge's score of ensemble and singles with its interval, where boxes are found; and
        the area under the ROC curve, a number each, None where all images or none are positive.
    """
    tables = [read_images(folder) for folder in (ensemble, *singles)]
    positive = tables[0]["tp"] + tables[0]["fn"] > 0
    patients = tables[0]["patient"]
    result: dict[str, Any] = {"images": len(positive), "positives": int(positive.sum())}
    for metric in OVERLAP:
        columns = [table[metric][positive] for table in tables]
        mean_single = pd.concat(columns[1:], axis=1).mean(axis=1)
        each = [mean_interval(column, patients[positive]) for column in columns]
        others = {
            "mean_single": mean_interval(mean_single, patients[positive]),
            "difference": mean_interval(columns[0] - mean_single, patients[positive]),
        }
        result[f"{metric}_by_image_over_positives"] = _told(metric, each, others)
    if box_confidence is not None:
        scores = [_challenge(folder, box_confidence) for folder in (ensemble, *singles)]
        result[CHALLENGE] = _told("challenge", [mean_interval(score, patients) for score in scores], {})
    metrics = [json.loads((folder / "metrics.json").read_text(encoding="utf-8")) for folder in (ensemble, *singles)]
    result[AUC] = {"ensemble": metrics[0][AUC], "singles": [one[AUC] for one in metrics[1:]]}
    logger.info("kept test split, %s: ensemble %s, singles %s", AUC, *result[AUC].values())
    return result


def _told(name: str, each: Sequence[Interval], others: Mapping[str, Interval]) -> dict[str, Any]:
    shown = {"ensemble": each[0], **others, **{f"fold {number}": one for number, one in enumerate(each[1:])}}
    lines = "\n".join(f"  {key:12}{interval}" for key, interval in shown.items())
    logger.info("kept test split, mean %s:\n%s", name, lines)
    return {
        "ensemble": each[0].as_dict(),
        "singles": [one.as_dict() for one in each[1:]],
        **{key: interval.as_dict() for key, interval in others.items()},
    }


def _challenge(folder: Path, confidence: float) -> pd.Series:
    """The challenge's score of each image."""
    boxes = json.loads((folder / "boxes.json").read_text(encoding="utf-8"))
    return average_precisions(**boxes, confidence=confidence)
