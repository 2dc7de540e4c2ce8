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
from pathlib import Path
from typing import Any

from transforms import DataError
from transforms.files.atomic import atomic_write

from ..bundle import Bundle
from ..provenance import weights_hash
from ..schemas import URN, read_described

logger = logging.getLogger(__name__)

BEGIN = "<!-- figures, written by `python -m pipelines card`: do not edit -->"
END = "<!-- end of figures -->"
POOLED = "cross-validation"  # the split of one
TAKEN = (  # of report.json
    *("title", "data", "split", "cases", "patients", "trained_on", "command", "evaluated"),
    *("metrics", "means_by_case", "calibration"),
)
IMAGES = "image_"  # how metrics of calling whole images begin
CALLED = "image_roc_auc_over_all"  # not defined where all images have a finding, or none has
# What the table has below the means by case
ROWS = (
    "dice_by_image_over_positives_5th_percentile",
    "dice_pooled_over_all",
    "precision_pooled_over_all",
    "recall_pooled_over_all",
    CALLED,
    "image_sensitivity_over_positives",
    "image_specificity_over_negatives",
    "challenge_mean_average_precision_over_images_with_boxes_or_predictions",
    "voxel_accuracy_pooled_over_all",
    "dice_mean_of_organs_pooled_over_all",
    "iou_mean_of_organs_pooled_over_all",
    "expected_calibration_error_pooled_over_all",
)
HEADLINES = ("dice_by_image_over_positives", "iou_by_image_over_positives", CALLED, "dice_mean_of_organs_by_case")
USUAL = {"dice": "Dice", "iou": "IoU", "roc_auc": "ROC AUC", "hausdorff": "Hausdorff"}
FEW = 30  # patients, as pipelines.reporting.intervals.ENOUGH
REMAKE = "Make it with: python -m pipelines evaluate, report or crossvalidate."


def fill_card(bundle: Bundle, folders: Sequence[os.PathLike | str]) -> None:
    """Fill in the figures of a bundle's card, ``eval_metrics`` of its ``metadata.json``, and ``docs/figures.json``.

    Args:
        bundle: whose card it is; the card has the two marked lines.
        folders: each of a report, of an evaluation or of a cross-validation, a column of the table each. The first
            gives ``eval_metrics``, which are those of shipped weights, and so empty if it is of a cross-validation.

    Raises:
        DataError: if a folder has no report, or one of another bundle or of other weights than the bundle's, or the
            card lacks the marked lines.
    """
    columns = _titled([_column(bundle, Path(folder)) for folder in folders])
    of_weights = any(column["evaluated"]["split"] != POOLED for column in columns)
    figures = {
        "$schema": URN.format("figures"),
        "weights": weights_hash(bundle.weights) if of_weights else None,
        "columns": [{name: column[name] for name in TAKEN} for column in columns],
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
    """What of a bundle's card and metadata is not as its ``figures.json`` says, or is of other weights; else nothing.

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
    return faults


def eval_metrics(figures: Mapping[str, Any]) -> dict[str, float]:
    """The figures that ``metadata.json`` has, of the first column, by names that begin with its split."""
    first = figures["columns"][0]
    if first["evaluated"]["split"] == POOLED:
        return {}
    found = {name: first["metrics"].get(name) for name in HEADLINES}
    return {f"{first['evaluated']['split']}_{name}": round(v, 4) for name, v in found.items() if v is not None}


def block(figures: Mapping[str, Any]) -> str:
    """The figures of the card, as Markdown: a table, and of each column what it was made of."""
    columns = figures["columns"]
    lines = [f"| | {' | '.join(column['title'] for column in columns)} |", f"| {'--- | ' * (len(columns) + 1)}".strip()]
    few = False
    for name in dict.fromkeys(name for column in columns for name in column["means_by_case"]):
        cells = [_interval(column["means_by_case"].get(name)) for column in columns]
        few |= any("†" in cell for cell in cells)
        lines += [f"| {_words(_full(name, columns))} | {' | '.join(cells)} |"] if any(cells) else []
    values = [column["metrics"] | column["calibration"] for column in columns]
    for name in ROWS:
        cells = [_number(found.get(name)) for found in values]
        if any(cells) and (not name.startswith(IMAGES) or any(found.get(CALLED) is not None for found in values)):
            lines.append(f"| {_words(name)} | {' | '.join(cells)} |")
    lines += ["", "In brackets 95 % intervals, by a bootstrap over patients (bias-corrected and accelerated)."]
    lines += [f"† Fewer than {FEW} patients: the interval may be too narrow."] if few else []
    return "\n".join([*lines, "", *map(_source, columns)])


def _column(bundle: Bundle, folder: Path) -> dict[str, Any]:
    report = read_described(folder / "report.json", "report", REMAKE)
    if report["bundle"] != bundle.metadata["name"]:
        raise DataError(f"{folder}: is of {report['bundle']}, not of {bundle.metadata['name']}. Give that bundle's.")
    if not report["evaluated"]:
        raise DataError(f"{folder}: an earlier version evaluated it and did not keep of what weights. Evaluate again.")
    digest = weights_hash(bundle.weights)
    if report["evaluated"]["split"] != POOLED and report["evaluated"]["weights"] != digest:
        raise DataError(
            f"{folder}: is of weights {str(report['evaluated']['weights'])[:12]}, and {bundle.weights} are "
            f"{str(digest)[:12]}. Evaluate these: the card is theirs."
        )
    return report


def _titled(columns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """With a title each: the split, or of a cross-validation its overlays; and the data if they are not the same."""
    titled = []
    for column in columns:
        told = column["evaluated"]
        settings = told.get("settings", {})
        overlays = ", ".join(f"`{name}`" for name in settings.get("overlays", []) + settings.get("evaluation", []))
        title = f"{told['split']}{f', {overlays}' if overlays else ''}"
        title += f" of {column['data']}" if len({other["data"] for other in columns}) > 1 else ""
        titled.append({**column, "title": title})
    return titled


def _source(column: Mapping[str, Any]) -> str:
    told = column["evaluated"]
    positives = column["metrics"].get("positives")
    parts = [
        f"{column['cases']} cases of {column['patients']} patients"
        + (f", {positives} with a finding" if positives is not None else ""),
        f"data {column['data']}, {column['split']}",
        f"manifest {str(told['manifest'])[:12]}",
        f"weights {told['weights'][:12]}, trained on {column['trained_on']}" if told["weights"] else "a model a fold",
        ", ".join(f"{name} {told['versions'][name]}" for name in ("radbundles", "torch", "monai")),
        told["machine"],
        told["date"],
        f"`{column['command']}`",
    ]
    return f"- {column['title']}: {'; '.join(parts)}"


def _full(name: str, columns: Sequence[Mapping[str, Any]]) -> str:
    """A metric of cases by the whole name of its mean, which says what it is over."""
    return next((full for column in columns for full in column["metrics"] if full.startswith(f"{name}_by_")), name)


def _words(name: str) -> str:
    for plain, usual in USUAL.items():
        name = re.sub(rf"(?<![a-z]){plain}(?![a-z])", usual, name)
    return name.replace("_", " ")


def _interval(found: Mapping[str, Any] | None) -> str:
    if found is None or found["mean"] is None:
        return ""
    ends = "" if found["low"] is None else f" ({_number(found['low'])} to {_number(found['high'])})"
    return f"{_number(found['mean'])}{ends}{' †' if found['patients'] < FEW else ''}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if abs(value) <= 1 else f"{value:.2f}"


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
