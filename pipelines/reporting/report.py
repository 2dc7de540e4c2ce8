"""One page on a model: what it is, on whom it was measured, how good it is, how sure that is, and what to beware of.

Made of what an evaluation left on disk; nothing is predicted again.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from networks import read_about, read_fitted
from transforms import DataError, distance
from transforms.files.atomic import atomic_write

from ..bundle import Bundle
from ..calibration.coverage import coverage, predicted
from ..documents.claim import checklist
from ..evaluation.binary_report import BOTTOM
from ..evaluation.pixels import calibration_errors, fit_temperature, reliability
from ..manifests.manifest import images_of, is_counted, left_out, read_manifest
from ..provenance import OVERRIDES, learnt_from, weights_hash
from ..resuming.sample import found_of
from ..training.curves import curves
from .binary_charts import binary_charts
from .charts import Chart, chart, distribution, forest, predicted_against_true
from .intervals import Interval, mean_interval
from .measured import Measured
from .page import render
from .subgroups import Group, by_group, describe, group_of, sizes
from .summary import beware, summary

logger = logging.getLogger(__name__)

SCHEMA = "urn:radbundles:report:1"  # pipelines/documents/report.schema.json
PICTURES = {  # that an evaluation or a training may have left, with what they show
    "confusion_matrix.png": "Confusion of classes, voxels of all cases",
    "roc.png": "ROC of voxels, by class",
}


def write_report(
    bundle: Bundle,
    folder: os.PathLike | str,
    manifest: os.PathLike | str,
    dataset_dir: os.PathLike | str,
    split: str = "test",
    validation: os.PathLike | str | None = None,
    weights: os.PathLike | str | Sequence[os.PathLike | str] | None = None,
    overlays: Sequence[str] = (),
    command: str = "",
) -> Path:
    """Write ``report.html`` and ``report.json`` beside what an evaluation wrote.

    Args:
        bundle: that was evaluated.
        folder: of the evaluation of one split.
        manifest: that it was made on.
        dataset_dir: what the manifest's paths are relative to; headers are read for groups of patients.
        split: of the manifest.
        validation: the folder of the evaluation of the validation split, for the curve of thresholds and the
            temperature. None: the report has neither.
        weights: of the model; None: the bundle's. Of an ensemble, those of its models, for which nothing is fitted.
        overlays: of the bundle, which the model was trained with.
        command: that makes the report again, without names of files.

    Returns:
        the page.

    Raises:
        DataError: if a folder holds no evaluation, or one of other cases than the manifest's split.
    """
    measured = Measured.read(Path(folder))
    chosen = Measured.read(Path(validation)) if validation is not None else None
    content = read_manifest(manifest)
    entries = [entry for entry in content[split] if is_counted(entry)]
    if len(entries) != len(measured.cases):
        raise DataError(
            f"{folder}: holds {len(measured.cases)} cases, the {split} list of {manifest} has {len(entries)}. "
            "Give the manifest and the split that were evaluated."
        )
    weights = bundle.weights if weights is None else weights
    models = [Path(weights)] if isinstance(weights, str | os.PathLike) else [Path(path) for path in weights]
    single = models[0] if len(models) == 1 else None
    about = read_about(models[0], measured.evaluated.get("weights"))
    facts = {
        "bundle": bundle.metadata["name"],
        "weights": _version(bundle, models),
        "trained_on": about.get("trained_on", "unknown"),
        "data": content["name"],
        "split": f"{split}, of a manifest divided {content['split']}{left_out(measured.left_out)}",
        "command": command,
    }
    learnt = learnt_from(about.get("trained_images"), content, dataset_dir, split)
    fitted = read_fitted(single) if single else {}
    more = {"trained_images": learnt, "ensemble": None if single else len(models)}
    if fitted:
        sample = fitted.get("calibrated_images")  # what earlier versions fitted tells its data by name alone
        named = fitted.get("calibrated_on", "").startswith(f"{content['name']}, {split}")
        fitted["in_sample"] = named if sample is None else found_of(sample, images_of(entries, dataset_dir)) > 0
    described = describe(entries, Path(dataset_dir))
    return _write(bundle, overlays, about, fitted, content, facts, measured, chosen, described, more)


def write_pooled_report(
    bundle: Bundle,
    folder: os.PathLike | str,
    manifest: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
    dataset_dir: os.PathLike | str,
    command: str,
) -> Path:
    """The same of a cross-validation, as one table of all the cases that were held out.

    Args:
        bundle: that was cross-validated.
        folder: of the cross-validation.
        manifest: whose images were divided into folds.
        entries: of these images, in the order of the folds; those that do not count may be among them.
        dataset_dir: as of :func:`write_report`.
        command: as of :func:`write_report`.
    """
    measured = Measured.read(Path(folder))
    settings = measured.evaluated["settings"]
    overlays = ", ".join(settings["overlays"] + settings["evaluation"]) or "no overlay"
    overlays += "".join(f", {key} {value}" for key, value in settings.get(OVERRIDES, {}).items())
    facts = {
        "bundle": bundle.metadata["name"],
        "weights": f"{bundle.metadata['version']}, a model for each of {settings['folds']} folds",
        "trained_on": manifest["name"],
        "data": manifest["name"],
        "split": f"cross-validation: {settings['folds']} folds of the patients of "
        f"{'training and validation of ' if settings.get('keep_test') else ''}a manifest divided "
        f"{manifest['split']}; seed {settings['seed']}; {overlays}{left_out(measured.left_out)}",
        "command": command,
    }
    described = describe([entry for entry in entries if is_counted(entry)], Path(dataset_dir))
    more = {"trained_images": None, "ensemble": None}
    return _write(bundle, settings["overlays"], {}, {}, manifest, facts, measured, None, described, more)


def _version(bundle: Bundle, models: Sequence[Path]) -> str:
    if not all(path.is_file() for path in models):
        return "unknown"
    if len(models) == 1:
        return bundle.algorithm(models[0]).version
    return f"{bundle.metadata['version']}, weights {str(weights_hash(models))[:12]} of {len(models)} models"


def _write(
    bundle: Bundle,
    overlays: Sequence[str],
    about: dict[str, Any],
    fitted: dict[str, Any],
    manifest: Mapping[str, Any],
    facts: dict[str, Any],
    measured: Measured,
    chosen: Measured | None,
    groups: pd.DataFrame,
    more: dict[str, Any],
) -> Path:
    values, patients = measured.values, measured.cases["patient"]
    intervals = {name: mean_interval(values[name], patients) for name in measured.by_case}
    groups = groups.set_axis(values.index)
    if measured.marked is not None:
        groups = groups.assign(**{"size of the truth": sizes(measured.marked)})
    by = by_group(values[measured.key], patients, groups)
    parts = measured.cases[["fold"]] if measured.is_pooled else pd.DataFrame()
    folds = by_group(values[measured.key], patients, parts)
    whole = measured.image_intervals()
    calibration = _calibration(measured, chosen, fitted.get("temperature"))
    quality = _quality(measured, fitted.get("quality"))
    facts = facts | {"cases": len(values), "patients": int(patients.nunique())}
    result = {
        "$schema": SCHEMA,
        **facts,
        "evaluated": measured.evaluated,
        "metrics": measured.metrics,
        "means_by_case": {name: interval.as_dict() for name, interval in intervals.items()},
        "intervals": {name: interval.as_dict() for name, interval in whole.items()},
        "groups": [_told(measured, group, groups) for group in by],
        "folds": [_told(measured, fold, parts) for fold in folds],
        "calibration": calibration,
        "predicted_dice": quality[1] if quality else None,
        "in_sample": fitted.get("in_sample"),
        "left_out": measured.left_out,
        **more,
    }
    threshold = measured.evaluated.get("threshold", bundle.read(["inference"]).get("threshold", 0.5))
    page = render(
        measured,
        intervals,
        title=f"{bundle.metadata['name']}: {facts['split'].partition(',')[0]} of {facts['data']}",
        summary=summary(facts, measured, intervals | whole),
        beware=beware(intervals[measured.key], by, measured.key, result),
        charts=_charts(measured, chosen, threshold, about, result, quality, by + folds, intervals),
        claim=checklist(bundle, overlays, about, manifest, result),
    )
    with atomic_write(measured.folder / "report.json") as file:
        json.dump(result, file, indent=2, allow_nan=False)
    with atomic_write(measured.folder / "report.html") as file:
        file.write(page)
    logger.info("wrote %s", measured.folder / "report.html")
    return measured.folder / "report.html"


def _told(measured: Measured, group: Group, groups: pd.DataFrame) -> dict[str, Any]:
    by, value, interval = group
    images = measured.image_intervals(group_of(groups[by]) == value)
    return {
        **{"by": by, "value": value, **interval.as_dict()},
        "intervals": {name: found.as_dict() for name, found in images.items()},
    }


def _calibration(measured: Measured, chosen: Measured | None, stored: float | None) -> dict[str, float]:
    """The errors of calibration, and with the temperature of the weights, else of the validation split, if any."""
    if measured.pixels is None:
        return {}
    found = calibration_errors(reliability(measured.pixels))
    temperature = stored
    if stored is None and chosen is not None and chosen.pixels is not None:
        temperature = fit_temperature(chosen.pixels)
    if temperature is not None:
        after = calibration_errors(reliability(measured.pixels, temperature))
        found |= {"temperature": temperature, **{f"{name}_with_it": value for name, value in after.items()}}
    return found


def _quality(measured: Measured, fitted: dict[str, Any] | None) -> tuple[pd.DataFrame, dict[str, Any]] | None:
    """Predicted beside true Dice of each case, and how well that holds; None where nothing is predicted."""
    if not fitted or not set(fitted["features"]) <= set(measured.cases):
        return None
    cases = measured.cases.assign(dice=measured.values["dice"])
    if (likeness := fitted.get("likeness")) is not None:
        if measured.bottom is None:
            logger.warning(
                "%s: has no %s, so predicted Dice is not shown: remove the folder, and it is evaluated again",
                *(measured.folder, BOTTOM),
            )
            return None
        cases["distance"] = distance(measured.bottom, likeness)
    table = predicted(cases, fitted)
    return table, coverage(table, fitted["level"])


def _charts(
    measured: Measured,
    chosen: Measured | None,
    threshold: float,
    about: Mapping[str, Any],
    result: Mapping[str, Any],
    quality: tuple[pd.DataFrame, dict[str, Any]] | None,
    groups: list[Group],
    intervals: dict[str, Interval],
) -> list[Chart]:
    values = measured.values[measured.key]
    charts = [distribution(values, measured.key)] if values.notna().any() else []
    in_sample = bool(result["in_sample"])
    charts += binary_charts(measured, chosen, threshold, result["calibration"].get("temperature"), in_sample)
    if quality is not None and len(quality[0]):
        charts.append(predicted_against_true(*quality, in_sample))
    if groups:
        charts.append(forest(groups, intervals[measured.key], measured.key))
    for name, text in PICTURES.items():
        if (path := measured.folder / name).is_file():
            charts.append(Chart(text, "Figures are in the evaluation's folder too.", path.read_bytes(), wide=True))
    table = _training(measured, about)
    if table is not None:
        text = f"{len(table)} epochs, of which the model is that of epoch {about['epoch']}."
        charts.append(chart("Training: loss, IoU and Dice by epoch", text, curves(table), wide=True))
    return charts


def _training(measured: Measured, about: Mapping[str, Any]) -> pd.DataFrame | None:
    """The table of the training that the weights are of, where it is in the folder above; else None.

    It has the epoch of the weights, with the score that they were chosen by.
    """
    log = measured.folder.parent / "training.csv"
    if measured.is_pooled or not log.is_file():
        return None
    table = pd.read_csv(log)
    scores = {name: value for name, value in about.items() if name.startswith("val_") and name in table}
    row = table.loc[table["epoch"] == about.get("epoch"), list(scores)]
    described = about.get("sha256") is not None and about["sha256"] == measured.evaluated.get("weights")
    if described and scores and len(row) == 1 and np.allclose(row, list(scores.values()), rtol=1e-9, atol=0):
        return table
    logger.warning("%s: is not of the training of these weights, so its curves are not shown", log)
    return None
