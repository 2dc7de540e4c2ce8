"""The page of a report, as HTML: tables and pictures of an evaluation, beside what the caller has to say of it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader

from ..evaluation.ranking import best_median_worst
from .charts import Chart
from .intervals import Interval
from .measured import Measured

SHOWN = {"worst": "The worst", "median": "The median", "best": "The best"}


class _Pictures(NamedTuple):
    chart: Chart
    cases: list[int]


def render(measured: Measured, intervals: Mapping[str, Interval], **more: Any) -> str:
    """Fill the template.

    Args:
        measured: whose tables and pictures are shown.
        intervals: of the means of its metrics by case.
        more: ``title``, ``summary``, ``beware``, ``charts`` and ``claim``, see ``page.html``.
    """
    values, table = measured.values, _table(measured)
    template = Environment(loader=PackageLoader(__package__, "."), autoescape=True).get_template("page.html")
    return template.render(
        monai=version("monai"),
        by_case=[_row(name, values[name], interval) for name, interval in intervals.items() if interval.cases],
        metrics=[(name, _number(value)) for name, value in measured.metrics.items()],
        gallery=_gallery(measured),
        numbered="row in the table of all folds" if measured.is_pooled else "place in the manifest's list",
        columns=["case", *table],
        rows=[[number, *map(_number, row)] for number, *row in table.itertuples()],
        **more,
    )


def _gallery(measured: Measured) -> list[_Pictures]:
    found = []
    chosen = best_median_worst(measured.values[measured.key])
    for which, title in SHOWN.items():
        path = measured.folder / f"{which}.png"
        if which in chosen and path.is_file():
            numbers = ", ".join(f"case {number}: {value:.2f}" for number, value in chosen[which].items())
            text = (
                f"{title} cases by {measured.key}, a row each: image, truth, prediction and both outlines. {numbers}."
            )
            found.append(
                _Pictures(Chart(f"{title} by {measured.key}", text, path.read_bytes()), list(chosen[which].index))
            )
    return found


def _row(name: str, values: pd.Series, interval: Interval) -> dict[str, str]:
    low, quarter, median = values.quantile([0.05, 0.25, 0.5])
    ends = "" if np.isnan(interval.low) else f"{interval.low:.3f} to {interval.high:.3f}"
    return {
        "name": name.replace("_", " "),
        "mean": _number(interval.mean),
        "interval": f"{ends} (too few to be sure)" if ends and not interval.is_sure else ends,
        "median": _number(median),
        "quarter": _number(quarter),
        "low": _number(low),
        "cases": str(interval.cases),
        "patients": str(interval.patients),
    }


def _table(measured: Measured) -> pd.DataFrame:
    folds = ["fold"] if measured.is_pooled else []
    names = [
        *folds,
        "patient",
        *measured.by_case,
        *(name for name in ("score", "tp", "fp", "fn") if name in measured.cases),
    ]
    return measured.cases[names].assign(**measured.values)[names]


def _number(value: Any) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return ""
    if isinstance(value, str):
        return value.lstrip("0") or "0"  # a patient's number
    return f"{value:.4g}" if isinstance(value, float) and value != int(value) else f"{int(value)}"
