"""Two models on the same cases: the difference, how sure it is, and who wins where."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import permutation_test

from transforms import DataError

from ..evaluation.metric_table import OVERLAP, SURFACE, metrics_of
from .intervals import BATCH, RESAMPLES, Interval, Statistic, figure_interval, mean_interval
from .measured import Measured, read_cases


@dataclass(frozen=True)
class Comparison:
    """One metric of two models on the same cases.

    Attributes:
        metric: its name.
        first, second: its mean in each.
        difference: second less first, case by case.
        p: of the hypothesis that which model is which does not matter; patients are exchanged whole.
        better: cases in which the second is so.
        worse: and those in which it is not; a shorter distance of surfaces is better.
    """

    metric: str
    first: Interval
    second: Interval
    difference: Interval
    p: float
    better: int
    worse: int

    def __str__(self) -> str:
        return (
            f"{self.metric}: {self.first.mean:.4f} and {self.second.mean:.4f}; difference {self.difference}; "
            f"p = {self.p:.4f}; better in {self.better}, worse in {self.worse}"
        )


def read_images(folder: os.PathLike | str) -> pd.DataFrame:
    """The rows of an evaluation or of a cross-validation, of a bundle of one class.

    Args:
        folder: that holds ``images.csv``.

    Raises:
        DataError: if it holds none, or as :func:`~pipelines.reporting.measured.read_cases`.
    """
    path = Path(folder) / "images.csv"
    if not path.is_file():
        raise DataError(
            f"{path}: no such file. Give the output folder of an evaluation's split or of a cross-validation, of "
            "a bundle of radiographs."
        )
    return read_cases(path)


def compare(first: pd.DataFrame, second: pd.DataFrame, metric: str = "dice") -> Comparison:
    """Compare two models case by case, over the cases where both have a value.

    Args:
        first: of :func:`read_images`.
        second: of another model.
        metric: a column of both, of overlap or of surfaces. Those of overlap are taken over cases that the truth marks.

    Raises:
        DataError: if they are not of the same cases, have no such column, or fewer than two patients with a value in
            both.
    """
    same = [name for name in ("fold", "case", "patient") if name in first or name in second]
    truth = [table["tp"] + table["fn"] for table in (first, second)]
    if not (first.reindex(columns=same).equals(second.reindex(columns=same)) and truth[0].equals(truth[1])):
        raise DataError(
            "the two folders are of different cases, folds or truths. Evaluate both models on one split of one "
            "manifest, or cross-validate both with one manifest, folds and seed."
        )
    names = [name for name in metrics_of(first) if name in second]
    if metric not in names:
        raise DataError(f"{metric}: no such metric of cases. Give one of {', '.join(names)}.")
    known = first[metric].notna() & second[metric].notna()
    if metric in OVERLAP:
        known &= truth[0] > 0
    if not known.any():
        raise DataError(f"no case has a value of {metric} in both.")
    a, b, patients = first[metric][known], second[metric][known], first["patient"][known]
    sums = pd.DataFrame({"a": a, "b": b, "patient": patients}).groupby("patient")[["a", "b"]].sum()
    if len(sums) < 2:
        raise DataError(f"only one patient has a value of {metric} in both: two models cannot be compared on that.")
    test = permutation_test(
        (sums["a"].to_numpy(), sums["b"].to_numpy()),
        _difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, BATCH // len(sums)),
        rng=np.random.default_rng(0),
    )
    gain = a - b if _shorter_is_better(metric) else b - a
    return Comparison(
        metric,
        mean_interval(a, patients),
        mean_interval(b, patients),
        mean_interval(b - a, patients),
        float(test.pvalue),
        int((gain > 0).sum()),
        int((gain < 0).sum()),
    )


def compare_folders(first: os.PathLike | str, second: os.PathLike | str) -> dict[str, dict[str, Any]]:
    """What a model card tells of two models on the same cases.

    Args:
        first: the folder of an evaluation or of a cross-validation, of a bundle of one class.
        second: another model's.

    Returns:
        Dice by case, and what both have of :meth:`~pipelines.reporting.measured.Measured.image_figures`, by metric:
        ``first``, ``second`` and their ``difference``, with intervals as JSON has them; and ``p`` of Dice.

    Raises:
        DataError: as :func:`read_images`, :func:`compare` and :meth:`~pipelines.reporting.measured.Measured.read`.
    """
    dice = compare(read_images(first), read_images(second))
    found: dict[str, dict[str, Any]] = {
        dice.metric: {name: getattr(dice, name).as_dict() for name in ("first", "second", "difference")} | {"p": dice.p}
    }
    one, two = (Measured.read(Path(folder)) for folder in (first, second))
    figures, patients = (one.image_figures(), two.image_figures()), one.cases["patient"]
    for name in (name for name in figures[0] if name in figures[1]):
        (before, counted), (after, also) = (known[name] for known in figures)
        found[name] = {
            "first": figure_interval(before, patients, counted).as_dict(),
            "second": figure_interval(after, patients, also).as_dict(),
            "difference": figure_interval(_less(after, before), patients, counted | also).as_dict(),
        }
    return found


def _less(statistic: Statistic, other: Statistic) -> Statistic:
    return lambda counts: statistic(counts) - other(counts)


def _shorter_is_better(metric: str) -> bool:
    return metric.startswith(tuple(SURFACE))


def _difference(a: npt.NDArray, b: npt.NDArray, axis: int) -> npt.NDArray:
    return (b - a).mean(axis=axis)


def draw_comparison(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str], metric: str = "dice") -> Figure:
    """Each case as a point, and the line on which both are alike."""
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axis = figure.subplots()
    both = np.concatenate([first[metric], second[metric]])
    ends = [np.nanmin(both), np.nanmax(both)]
    axis.plot(ends, ends, color="0.6", linewidth=1)
    axis.scatter(first[metric], second[metric], s=12, color="#1f77b4", alpha=0.6)
    axis.set(xlabel=f"{metric} of {names[0]}", ylabel=f"{metric} of {names[1]}", aspect="equal")
    side = "below" if _shorter_is_better(metric) else "above"
    axis.set_title(f"each point a case; {side} the line the second is better", fontsize=9)
    return figure
