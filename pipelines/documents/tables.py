"""Tables of a model card as lines of Markdown: by group of patients, of what was tried; how figures are written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

USUAL = {"dice": "Dice", "iou": "IoU", "roc_auc": "ROC AUC", "hausdorff": "Hausdorff"}
FEW = 30  # patients, as pipelines.reporting.intervals.ENOUGH
FOLD = "fold"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table, without rows that have nothing beside their name."""
    ruler = f"| {'--- | ' * len(head)}".strip()
    return [_line(head), ruler, *(_line(row) for row in rows if any(row[1:]))]


def _line(cells: Sequence[str]) -> str:
    return f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|"


def by_group(columns: Sequence[Mapping[str, Any]], name: str | None) -> list[str]:
    """A metric by group of patients and by fold, of the columns that have any.

    Args:
        columns: of ``figures.json``.
        name: of a metric of whole images; None: the first of those by case.
    """
    found = [
        {
            (group["by"], group["value"]): group if name is None else group.get("intervals", {}).get(name)
            for group in [*column.get("groups", []), *column.get("folds", [])]
        }
        for column in columns
    ]
    having = [place for place, groups in enumerate(found) if any(groups.values())]
    if not having:
        return []
    known = dict.fromkeys(group for groups in sorted(found, key=len, reverse=True) for group in groups)
    order = [*(by for by in dict.fromkeys(by for by, _ in known) if by != FOLD), FOLD]
    key = name or full(next(iter(columns[having[0]]["means_by_case"])), columns)
    rows = [
        [f"{by}: {value}", *(_counted(found[place].get((by, value))) for place in having)]
        for by, value in sorted(known, key=lambda group: order.index(group[0]))
    ]
    titles = [columns[place]["title"] for place in having]
    return ["", f"{words(key)}, by group; cases of patients:", "", *table(["", *titles], rows)]


def _counted(found: Mapping[str, Any] | None) -> str:
    if found is None or not found["patients"]:
        return ""
    return f"{interval(found)}, {found['cases']} of {found['patients']}"


def tried(comparisons: Sequence[Mapping[str, Any]], columns: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was tried, a row each, and the commands; nothing if there is none.

    Args:
        comparisons: ``tried`` of ``figures.json``.
        columns: of the same, which say what metrics by case are taken over.
    """
    if not comparisons:
        return []
    names = list(dict.fromkeys(name for one in comparisons for name in one["metrics"]))
    tested = {name for one in comparisons for name, found in one["metrics"].items() if "p" in found}
    head = ["tried", "against", "cases of patients"]
    for name in names:
        head += [words(full(name, columns)), "difference", *(["p"] if name in tested else [])]
    rows = []
    for one in comparisons:
        first = next(iter(one["metrics"].values()))["difference"]
        row = [one["title"], one["against"], f"{first['cases']} of {first['patients']}"]
        for name in names:
            found = one["metrics"].get(name)
            cells = _compared(found) if found else ["", "", ""]
            row += cells if name in tested else cells[:2]
        rows.append(row)
    text = "What was tried, on the same cases: Dice case by case, p by exchanging patients; of figures over all images "
    text += "their difference. Intervals by a bootstrap over patients."
    sources = [f"- {one['title']}, against {one['against']}: {_made(one)}" for one in comparisons]
    return ["", text, "", *table(head, rows), "", *sources]


def _made(one: Mapping[str, Any]) -> str:
    commands = f"`{one['command']}`; against `{one['command_against']}`"
    return f"data {one['data']}, {one['split']}; manifest {one['manifest'][:12]}; {one['date']}; {commands}"


def _compared(found: Mapping[str, Any]) -> list[str]:
    less = found["difference"]
    ends = "" if less["low"] is None else f" ({less['low']:+.4f} to {less['high']:+.4f})"
    return [
        f"{number(found['second']['mean'])}, not {number(found['first']['mean'])}",
        f"{less['mean']:+.4f}{ends}{_few(less)}",
        f"{found['p']:.4f}" if "p" in found else "",
    ]


def full(name: str, columns: Sequence[Mapping[str, Any]]) -> str:
    """A metric of cases by the whole name of its mean, which says what it is over."""
    return next((whole for column in columns for whole in column["metrics"] if whole.startswith(f"{name}_by_")), name)


def words(name: str) -> str:
    """A metric's name as text."""
    for plain, usual in USUAL.items():
        name = re.sub(rf"(?<![a-z]){plain}(?![a-z])", usual, name)
    return name.replace("_", " ")


def interval(found: Mapping[str, Any] | None) -> str:
    """A mean with its interval, marked where too few patients stand behind it; empty if there is none."""
    if found is None or found["mean"] is None:
        return ""
    ends = "" if found["low"] is None else f" ({number(found['low'])} to {number(found['high'])})"
    return f"{number(found['mean'])}{ends}{_few(found)}"


def _few(found: Mapping[str, Any]) -> str:
    return " †" if found["patients"] < FEW else ""


def number(value: float | None) -> str:
    """Three digits after the point up to 1, and two above; empty if there is none."""
    return "" if value is None else f"{value:.3f}" if abs(value) <= 1 else f"{value:.2f}"
