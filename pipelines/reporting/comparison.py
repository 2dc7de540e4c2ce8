"""Two models on the same cases: the difference, how sure it is, and who wins where."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import permutation_test

from transforms import DataError

from .intervals import RESAMPLES, Interval, mean_interval


@dataclass(frozen=True)
class Comparison:
    """One metric of two models on the same cases.

    Attributes:
        metric: its name.
        first, second: its mean in each.
        difference: second less first, case by case.
        p: of the hypothesis that which model is which does not matter; patients are exchanged whole.
        better, worse: cases in which the second is so.
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


def read_cases(folder: os.PathLike | str) -> pd.DataFrame:
    """The rows of an evaluation or of a cross-validation.

    Args:
        folder: that holds ``images.csv``.

    Raises:
        DataError: if it holds none.
    """
    path = Path(folder) / "images.csv"
    if not path.is_file():
        raise DataError(f"{path}: no such file. Give the output folder of an evaluation's split or a cross-validation.")
    return pd.read_csv(path, dtype={"patient": str})


def compare(first: pd.DataFrame, second: pd.DataFrame, metric: str = "dice") -> Comparison:
    """Compare two models case by case, over the cases where both have a value.

    Args:
        first: of :func:`read_cases`.
        second: of another model.
        metric: a column of both.

    Raises:
        DataError: if they are not of the same cases, or have no case in common that has a value.
    """
    same = [name for name in ("fold", "case", "patient") if name in first or name in second]
    truth = [table["tp"] + table["fn"] for table in (first, second)]
    if not (first.reindex(columns=same).equals(second.reindex(columns=same)) and truth[0].equals(truth[1])):
        raise DataError(
            "the two folders are of other cases, folds or truths. Evaluate both models on one split of one manifest, "
            "or cross-validate both with one manifest, folds and seed."
        )
    known = first[metric].notna() & second[metric].notna()
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
        rng=np.random.default_rng(0),
    )
    return Comparison(
        metric,
        mean_interval(a, patients),
        mean_interval(b, patients),
        mean_interval(b - a, patients),
        float(test.pvalue),
        int((b > a).sum()),
        int((b < a).sum()),
    )


def _difference(a: npt.NDArray, b: npt.NDArray, axis: int) -> npt.NDArray:
    return (b - a).mean(axis=axis)


def draw_comparison(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str], metric: str = "dice") -> Figure:
    """Each case as a point: above the line the second model is better."""
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axis = figure.subplots()
    low = float(np.nanmin([first[metric].min(), second[metric].min()]))
    axis.plot([low, 1], [low, 1], color="0.6", linewidth=1)
    axis.scatter(first[metric], second[metric], s=12, color="#1f77b4", alpha=0.6)
    axis.set(xlabel=f"{metric} of {names[0]}", ylabel=f"{metric} of {names[1]}", aspect="equal")
    axis.set_title("each point a case; above the line the second is better", fontsize=9)
    return figure
