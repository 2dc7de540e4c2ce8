"""The figures of a model card as Markdown: a column a report, and of each what it was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..evaluation.binary_metrics import AUC
from ..evaluation.rsna_score import CHALLENGE
from ..phantoms.cohort import NAME as PHANTOMS
from .few import FEWEST
from .tables import FEW, by_group, full, interval, number, table, tried, words

IMAGES = "image_"  # how metrics of calling whole images begin
# What the table has below the means by case
ROWS = (
    "dice_by_image_over_positives_5th_percentile",
    "dice_pooled_over_all",
    "precision_pooled_over_all",
    "recall_pooled_over_all",
    AUC,  # not defined where all images have a finding, or none has
    "image_sensitivity_over_positives",
    "image_specificity_over_negatives",
    CHALLENGE,
    "voxel_accuracy_pooled_over_all",
    "dice_mean_of_organs_pooled_over_all",
    "iou_mean_of_organs_pooled_over_all",
    "expected_calibration_error_pooled_over_all",
    "temperature",
    "expected_calibration_error_pooled_over_all_with_it",
)
BY_GROUP = (AUC, CHALLENGE)  # what group tables have beside the key metric


def block(figures: Mapping[str, Any]) -> str:
    """The figures of the card, as Markdown.

    Args:
        figures: as ``figures.schema.json`` describes them.
    """
    columns = figures["columns"]
    rows = [*_means(columns), *_metrics(columns), *_predicted(columns), *_beware(columns)]
    lines = table(["", *(column["title"] for column in columns)], rows)
    groups = [line for name in (None, *BY_GROUP) for line in by_group(columns, name)]
    if groups:
        groups += ["", f"Groups of fewer than {FEWEST} patients, and those that would tell of them, are left out."]
    comparisons = tried(figures.get("tried", []), columns)
    drawn = [
        f"**{column['title']}: phantoms, drawn by the project**: shows that it runs, nothing about patients."
        for column in columns
        if column["data"] == PHANTOMS
    ]
    notes = ["", "In brackets 95 % intervals, by a bootstrap over patients (bias-corrected and accelerated)."]
    if any("†" in line for line in [*lines, *groups]):
        notes.append(f"† Fewer than {FEW} patients: the interval may be too narrow.")
    if any(column.get("intervals", {}).get(AUC) for column in columns):
        notes.append("Of a ROC curve those with a finding count or those without, whichever are fewer.")
    return "\n".join(
        [*drawn, *([""] if drawn else []), *lines, *notes, *groups, *comparisons, "", *map(_source, columns)]
    )


def _means(columns: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    names = dict.fromkeys(name for column in columns for name in column["means_by_case"])
    return [
        [words(full(name, columns)), *(interval(column["means_by_case"].get(name)) for column in columns)]
        for name in names
    ]


def _metrics(columns: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    calling = any(column["metrics"].get(AUC) is not None for column in columns)
    rows = []
    for name in ROWS:
        cells = [
            interval(column.get("intervals", {}).get(name))
            or number((column["metrics"] | column["calibration"]).get(name))
            for column in columns
        ]
        if calling or not name.startswith(IMAGES):
            rows.append([words(name).replace("with it", "with the temperature"), *cells])
    return rows


def _predicted(columns: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    found = [column.get("predicted_dice") or {} for column in columns]
    rows = [["predicted Dice: share of cases outside what the fit knows", *(_share(f, "outside_share") for f in found)]]
    for level in dict.fromkeys(f["level"] for f in found if f):
        cells = [_coverage(f) if f.get("level") == level else "" for f in found]
        rows.append([f"of the others, share in an interval that claims {level:.0%}".replace("%", " %"), *cells])
    rows.append(["mean width of that interval", *(number(f.get("mean_width")) for f in found)])
    return [*rows, ["ROC AUC of finding poor masks", *(_poor(f) for f in found)]]


def _share(found: Mapping[str, Any], name: str) -> str:
    return f"{found[name]:.0%}".replace("%", " %") if found else ""


def _coverage(found: Mapping[str, Any]) -> str:
    if found["coverage"] is None:
        return ""
    low, high = found["coverage_interval"]
    return f"{number(found['coverage'])} ({number(low)} to {number(high)})"


def _poor(found: Mapping[str, Any]) -> str:
    if found.get("auc") is None:
        return ""
    return f"{number(found['auc'])} (Dice below {found['poor_below']:.3f})"


def _beware(columns: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """What makes figures better than those of new images, or is not in them; where there is nothing, no row."""
    learnt = [column.get("trained_images") or {} for column in columns]
    return [
        [
            "**beware**: of a sample of the images that the weights learnt from, so many are measured",
            *(f"{found['measured']} of {found['sample']}" if found.get("measured") else "" for found in learnt),
        ],
        [
            "**beware**: temperature and predicted Dice were fitted to these images",
            *("in-sample" if column.get("in_sample") else "" for column in columns),
        ],
        [
            "entries left out, as their masks count in what lies behind the heart",
            *(str(column.get("left_out") or "") for column in columns),
        ],
    ]


def _source(column: Mapping[str, Any]) -> str:
    told, models = column["evaluated"], column.get("ensemble")
    positives = column["metrics"].get("positives")
    weights = "a model a fold"
    if told["weights"]:
        of = f" of {models} models" if models else ""
        weights = f"weights {told['weights'][:12]}{of}, trained on {column['trained_on']}"
    parts = [
        f"{column['cases']} cases of {column['patients']} patients"
        + (f", {positives} with a finding" if positives is not None else ""),
        f"data {column['data']}, {column['split']}",
        f"manifest {str(told['manifest'])[:12]}",
        weights,
        ", ".join(f"{name} {told['versions'][name]}" for name in ("radbundles", "torch", "monai")),
        told["machine"],
        told["date"],
        f"`{column['command']}`",
    ]
    return f"- {column['title']}: {'; '.join(parts)}"
