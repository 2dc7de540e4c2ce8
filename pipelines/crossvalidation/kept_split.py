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
from ..evaluation.metric_table import OVERLAP
from ..provenance import is_of
from ..reporting.intervals import Interval, mean_interval
from ..reporting.measured import Measured
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
    singles = [folder / f"fold_{number}" / "test" for number in range(len(models))]
    return compare_with_singles(folder / "ensemble" / "test", singles)


def compare_with_singles(ensemble: Path, singles: Sequence[Path]) -> dict[str, Any]:
    """What an ensemble gains over its models, on the same images.

    Args:
        ensemble: the folder of its evaluation.
        singles: the folder of each model's.

    Returns:
        each figure with its 95 % interval by patient, of the ``ensemble`` and of each of the ``singles``: Dice and IoU
        by image over positives, with ``mean_single``, the mean of the models image by image, and the ``difference``,
        the ensemble less that; the area under the ROC curve, where some images are positive and some not; and the
        challenge's score, where boxes are found.
    """
    measured = [Measured.read(folder) for folder in (ensemble, *singles)]
    marked = measured[0].marked
    assert marked is not None  # which bundles of one class have
    positive = marked > 0
    patients = measured[0].cases["patient"][positive]
    result: dict[str, Any] = {"images": len(positive), "positives": int(positive.sum())}
    for metric in OVERLAP:
        columns = [one.values[metric][positive] for one in measured]
        mean_single = pd.concat(columns[1:], axis=1).mean(axis=1)
        others = {
            "mean_single": mean_interval(mean_single, patients),
            "difference": mean_interval(columns[0] - mean_single, patients),
        }
        each = [mean_interval(column, patients) for column in columns]
        result[f"{metric}_by_image_over_positives"] = _told(metric, each, others)
    figures = [one.image_intervals() for one in measured]
    for name in figures[0]:
        if all(name in one for one in figures):
            result[name] = _told(name, [one[name] for one in figures], {})
    return result


def _told(name: str, each: Sequence[Interval], others: Mapping[str, Interval]) -> dict[str, Any]:
    shown = {"ensemble": each[0], **others, **{f"fold {number}": one for number, one in enumerate(each[1:])}}
    lines = "\n".join(f"  {key:12}{interval}" for key, interval in shown.items())
    logger.info("kept test split, %s:\n%s", name, lines)
    return {
        "ensemble": each[0].as_dict(),
        "singles": [one.as_dict() for one in each[1:]],
        **{key: interval.as_dict() for key, interval in others.items()},
    }
