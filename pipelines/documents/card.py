"""A bundle's model card: its table of figures, ``eval_metrics`` and ``docs/figures.json``, filled in from reports.

No figure between the marked lines is typed by hand: ``figures.json`` says what they are, of what weights and data, and
with what they were made, and the rest follows from it.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from networks import read_fitted
from transforms import DataError
from transforms.files.atomic import atomic_write

from ..bundle import Bundle, evaluated_with
from ..evaluation.binary_metrics import AUC
from ..phantoms.cohort import NAME as PHANTOMS
from ..provenance import OVERRIDES, weights_hash
from ..schemas import URN, read_described
from .block import block
from .few import FEWEST, without_few

logger = logging.getLogger(__name__)

BEGIN = "<!-- figures, written by `python -m pipelines card`: do not edit -->"
END = "<!-- end of figures -->"
POOLED = "cross-validation"  # the split of one
TAKEN = (  # of report.json
    *("title", "data", "split", "cases", "patients", "trained_on", "command", "evaluated"),
    *("metrics", "means_by_case", "intervals", "groups", "folds", "calibration"),
    *("predicted_dice", "in_sample", "left_out", "trained_images", "ensemble"),
)
NAMED = ("overlays", "evaluation", OVERRIDES)  # settings that titles always tell
LIMITS = ("threshold", "box_confidence")  # that what is predicted is compared with
AS_IT_IS = "as it is"
HEADLINES = ("dice_by_image_over_positives", "iou_by_image_over_positives", AUC, "dice_mean_of_organs_by_case")
REMAKE = "Make it with: python -m pipelines evaluate, report or crossvalidate."


class Tried(NamedTuple):
    """A model and what was tried in its place, on the same cases.

    Attributes:
        first, second: folders of their reports.
        metrics: of :func:`pipelines.reporting.comparison.compare_folders`.
    """

    first: Path
    second: Path
    metrics: Mapping[str, Any]


def fill_card(bundle: Bundle, folders: Sequence[os.PathLike | str], tried: Sequence[Tried] = ()) -> None:
    """Fill in the figures of a bundle's card, ``eval_metrics`` of its ``metadata.json``, and ``docs/figures.json``.

    Args:
        bundle: whose card it is; the card has the two marked lines.
        folders: each of a report, of an evaluation or of a cross-validation, a column of the table each. The first
            gives ``eval_metrics``, which are those of shipped weights and of patients, and so empty if it is of a
            cross-validation, of an ensemble or of phantoms.
        tried: a row each of the table of what was tried.

    Raises:
        DataError: if a folder has no report, or one of another bundle or of other weights than the bundle's, or the
            card lacks the marked lines. A bundle without weights may have reports of phantoms, of any weights.
    """
    columns = _titled([_column(bundle, Path(folder)) for folder in folders])
    of_weights = any(_of_weights(column) and column["data"] != PHANTOMS for column in columns)
    figures = {
        "$schema": URN.format("figures"),
        "weights": weights_hash(bundle.weights) if of_weights else None,
        "columns": [{name: column[name] for name in TAKEN if name in column} for column in columns],
        "tried": [_compared(bundle, one) for one in tried],
    }
    card, (metadata,) = _with_block(bundle.card, figures), bundle.files(["metadata"])
    changed = _with_metrics(Path(metadata), figures)
    for path, text in (
        (bundle.figures, json.dumps(figures, indent=2) + "\n"),
        (bundle.card, card),
        (Path(metadata), changed),
    ):
        with atomic_write(path) as file:
            file.write(text)
        logger.info("wrote %s", path)


def stale(bundle: Bundle) -> list[str]:
    """What of a bundle's card and metadata is not as ``figures.json`` says, or of other weights or limits.

    Raises:
        DataError: if ``figures.json`` is broken, or the card lacks the marked lines.
    """
    if not bundle.figures.is_file():
        return [f"{bundle.figures}: is missing"] if bundle.metadata["eval_metrics"] else []
    figures, faults = read_described(bundle.figures, "figures", REMAKE), []
    if _with_block(bundle.card, figures) != bundle.card.read_text(encoding="utf-8"):
        faults.append(f"{bundle.card}: its figures are not those of {bundle.figures.name}")
    if bundle.metadata["eval_metrics"] != eval_metrics(figures):
        faults.append(f"{bundle.name}: eval_metrics of its metadata are not those of {bundle.figures.name}")
    if figures["weights"] is not None and figures["weights"] != weights_hash(bundle.weights):
        faults.append(f"{bundle.figures}: is of other weights than {bundle.weights.name}")
    elif figures["weights"] is not None:
        fitted = read_fitted(bundle.weights).get("temperature")
        told = [column["calibration"].get("temperature") for column in figures["columns"] if _of_weights(column)]
        if any(temperature != fitted for temperature in told):
            faults.append(f"{bundle.figures}: is from before {bundle.weights.name} was calibrated")
    return faults + [fault for column in figures["columns"] for fault in _of_other_limits(bundle, column)]


def _of_other_limits(bundle: Bundle, column: Mapping[str, Any]) -> list[str]:
    """Where a column was measured with another limit than the configuration has by now."""
    told = column["evaluated"]
    settings = told.get("settings", {})
    names = evaluated_with(settings.get("overlays", ()), settings.get("evaluation", ()))
    configured = bundle.read(names, **settings.get(OVERRIDES, {}))
    return [
        f"{bundle.figures}: {column['title']}: is of {key} {told[key]}, and the configuration has {configured[key]}"
        for key in LIMITS
        if key in told and told[key] != configured[key]
    ]


def eval_metrics(figures: Mapping[str, Any]) -> dict[str, float]:
    """The figures that ``metadata.json`` has, of the first column, by names that begin with its split."""
    first = figures["columns"][0]
    if not _of_weights(first) or first["data"] == PHANTOMS:
        return {}
    found = {name: first["metrics"].get(name) for name in HEADLINES}
    return {f"{first['evaluated']['split']}_{name}": round(v, 4) for name, v in found.items() if v is not None}


def _of_weights(column: Mapping[str, Any]) -> bool:
    """Whether a column is of a single file of weights, and so of those that the bundle ships, if it ships any."""
    return column["evaluated"]["split"] != POOLED and not column.get("ensemble")


def _report(bundle: Bundle, folder: Path) -> dict[str, Any]:
    report = read_described(folder / "report.json", "report", REMAKE)
    if report["bundle"] != bundle.metadata["name"]:
        raise DataError(f"{folder}: is of {report['bundle']}, not of {bundle.metadata['name']}. Give that bundle's.")
    if not report["evaluated"]:
        raise DataError(f"{folder}: an earlier version evaluated it and did not keep of what weights. Evaluate again.")
    if report["patients"] < FEWEST:
        raise DataError(
            f"{folder}: is of {report['patients']} patients, and a card tells nothing of fewer than {FEWEST}."
        )
    return report


def _column(bundle: Bundle, folder: Path) -> dict[str, Any]:
    report, digest = _report(bundle, folder), weights_hash(bundle.weights)
    unshipped = digest is None and report["data"] == PHANTOMS
    if _of_weights(report) and not unshipped and report["evaluated"]["weights"] != digest:
        raise DataError(
            f"{folder}: is of weights {str(report['evaluated']['weights'])[:12]}, and {bundle.weights} are "
            f"{str(digest)[:12]}. Evaluate these: the card is theirs."
        )
    return report | {name: without_few(report.get(name, [])) for name in ("groups", "folds")}


def _titled(columns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """With a title each: the split, overlays and what else was overridden; and the data if they are not the same.

    Those that would be called the same, such as cross-validations of other seeds, have what they differ in besides.
    """
    titles = []
    for column in columns:
        told = column["evaluated"]
        models = [f"ensemble of {column['ensemble']} models"] if column.get("ensemble") else []
        title = ", ".join([told["split"], *models, *_changes(told.get("settings", {}))])
        several = len({other["data"] for other in columns}) > 1 or column["data"] == PHANTOMS
        titles.append(f"{title} of {column['data']}" if several else title)
    for title in set(titles):
        alike = [place for place, other in enumerate(titles) if other == title]
        settings = [columns[place]["evaluated"].get("settings", {}) for place in alike]
        for place, own in zip(alike, _differing(settings), strict=True):
            titles[place] = ", ".join([title, *own])
    return [{**column, "title": title} for column, title in zip(columns, titles, strict=True)]


def _changes(settings: Mapping[str, Any]) -> list[str]:
    """The overlays, and what was overridden."""
    names = [*settings.get("overlays", []), *settings.get("evaluation", [])]
    return [f"`{text}`" for text in [*names, *(f"{k} {v}" for k, v in settings.get(OVERRIDES, {}).items())]]


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Of each the options that are not the same in all; what titles always tell is left out."""
    options = [key for key in dict.fromkeys(chain(*settings)) if key not in (*NAMED, "trained")]
    differ = [key for key in options if len({own.get(key) for own in settings}) > 1]
    return [[f"`--{key} {own[key]}`" for key in differ if key in own] for own in settings]


def _compared(bundle: Bundle, tried: Tried) -> dict[str, Any]:
    first, second = (_report(bundle, folder) for folder in (tried.first, tried.second))
    settings = [report["evaluated"].get("settings", {}) for report in (first, second)]
    titles = [[*_changes(own), *differing] for own, differing in zip(settings, _differing(settings), strict=True)]
    if titles[0] == titles[1]:
        for title, report in zip(titles, (first, second), strict=True):
            title += [f"weights {report['evaluated']['weights'][:12]}"] if report["evaluated"]["weights"] else []
    return {
        "title": ", ".join(titles[1]) or AS_IT_IS,
        "against": ", ".join(titles[0]) or AS_IT_IS,
        **{name: second[name] for name in ("data", "split", "command")},
        "command_against": first["command"],
        **{name: second["evaluated"][name] for name in ("manifest", "date")},
        "metrics": tried.metrics,
    }


def _with_block(path: Path, figures: Mapping[str, Any]) -> str:
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise DataError(
            f"{path}: lacks the line {BEGIN}, or below it {END}. Write both where the figures are to stand."
        )
    return f"{before}{BEGIN}\n\n{block(figures)}\n\n{END}{after}"


def _with_metrics(path: Path, figures: Mapping[str, Any]) -> str:
    """``metadata.json`` with other ``eval_metrics``, and otherwise as it was, to the byte."""
    found = json.dumps(eval_metrics(figures), indent=2).replace("\n", "\n  ")
    text = path.read_text(encoding="utf-8")
    changed, count = re.subn(r'("eval_metrics"\s*:\s*)\{[^{}]*\}', lambda match: match[1] + found, text)
    if count != 1 or json.loads(changed) != json.loads(text) | {"eval_metrics": eval_metrics(figures)}:
        raise DataError(f'{path}: has no plain "eval_metrics": {{}}. Write it.')
    return changed
