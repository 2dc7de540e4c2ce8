"""How sure a mean or an area under the ROC curve is: its 95 % interval, by a bootstrap over patients."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import bootstrap

LEVEL = 0.95
RESAMPLES = 9_999
ENOUGH = 30  # patients. Of simulated means of skewed values, with 20 patients 91 of 100 intervals hold the truth
MANY = 2_000  # patients, from which on skewness no longer matters, and correcting for it would take minutes
BATCH = 2**24  # drawn numbers in memory at a time

# Of how often each case counts, of shape (..., cases), the figure, of shape (...); not a number where there is none
Statistic: TypeAlias = Callable[[npt.NDArray], npt.NDArray]


@dataclass(frozen=True)
class Interval:
    """A mean, or another figure of all cases, with its interval.

    Attributes:
        mean: of all cases.
        low, high: its interval; not a number with fewer than two patients.
        cases: that have a value.
        patients: that these are of.
    """

    mean: float
    low: float
    high: float
    cases: int
    patients: int

    @property
    def is_sure(self) -> bool:
        """Whether there are so many patients that the interval holds what it says."""
        return self.patients >= ENOUGH

    def __str__(self) -> str:
        if np.isnan(self.mean):
            return "not defined"
        few = "" if self.is_sure else ", too few to be sure"
        ends = "no interval" if np.isnan(self.low) else f"{self.low:.3f} to {self.high:.3f}"
        return f"{self.mean:.3f} ({ends}; {self.cases} cases of {self.patients} patients{few})"

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON: what is not a number is None."""
        return {name: None if np.isnan(value) else value for name, value in asdict(self).items()}


def mean_interval(values: pd.Series, patients: pd.Series, seed: int = 0) -> Interval:
    """The mean over cases and its 95 % interval, by a bootstrap that draws patients with all their cases.

    Bias-corrected and accelerated (Efron, Journal of the American Statistical Association 1987;82:171-185), by
    :func:`scipy.stats.bootstrap`; of MANY patients or more, percentiles of fewer resamples. Where all patients are
    alike both ends are the mean. Of means only: the bootstrap of a median or another percentile can be far off with few
    cases.

    Args:
        values: one a case; those that are not a number are left out.
        patients: of each case, who it is of.
        seed: of the bootstrap.

    Raises:
        ValueError: if the two do not have the same index: pandas would pair them by it, and lose those without a match.
    """
    if not values.index.equals(patients.index):
        raise ValueError("the values and their patients have different indices.")
    known = values.notna().to_numpy()
    groups = pd.DataFrame({"value": values[known].astype(float), "patient": patients[known]})
    sums = groups.groupby("patient", sort=False)["value"].agg(["sum", "size"])
    mean = float(values[known].mean()) if known.any() else np.nan
    cases, count = int(known.sum()), len(sums)
    if count < 2:
        return Interval(mean, np.nan, np.nan, cases, count)
    if (sums["sum"] / sums["size"]).nunique() == 1:
        return Interval(mean, mean, mean, cases, count)
    low, high = _bootstrap((sums["sum"].to_numpy(), sums["size"].to_numpy()), _mean, count, count, seed)
    return Interval(mean, low, high, cases, count)


def area_under_roc(scores: pd.Series, positive: pd.Series) -> Statistic:
    """The area under the ROC curve, of cases that count more than once: ties count half (Hanley and McNeil 1982).

    Args:
        scores: one a case, the higher the surer.
        positive: whether each is.
    """
    order = np.argsort(scores.to_numpy(), kind="stable")
    starts = np.flatnonzero(np.diff(scores.to_numpy()[order], prepend=-np.inf))  # of cases that have one score
    inside = positive.to_numpy()[order]

    def area(counts: npt.NDArray) -> npt.NDArray:
        found = [np.add.reduceat(counts[..., order] * which, starts, axis=-1) for which in (inside, ~inside)]
        positives, negatives = found
        below = negatives.cumsum(axis=-1) - negatives / 2
        with np.errstate(invalid="ignore"):
            return (positives * below).sum(axis=-1) / (positives.sum(axis=-1) * negatives.sum(axis=-1))

    return area


def mean_of(values: pd.Series) -> Statistic:
    """The mean of cases that count more than once; those that are not a number are left out."""
    known = values.notna().to_numpy()
    numbers = values.to_numpy()[known].astype(float)

    def mean(counts: npt.NDArray) -> npt.NDArray:
        with np.errstate(invalid="ignore"):
            return counts[..., known] @ numbers / counts[..., known].sum(axis=-1)

    return mean


def figure_interval(statistic: Statistic, patients: pd.Series, counted: pd.Series, seed: int = 0) -> Interval:
    """A figure of all cases, or the difference of two, and its 95 % interval, as :func:`mean_interval` has it.

    Args:
        statistic: the figure.
        patients: of each case, who it is of.
        counted: cases that the interval hangs on, by which ``cases`` and ``patients`` are told: for an area under the
            ROC curve, where those with a finding are fewer than those without, the former, and else the latter.
        seed: of the bootstrap.

    Returns:
        without ends if there are fewer than two patients, or the figure is the same or not defined in some draws.
    """
    numbers, found = pd.factorize(patients)
    cases, count = int(counted.sum()), int(patients[counted].nunique())
    value = float(statistic(np.ones(len(patients))))
    if len(found) < 2 or np.isnan(value):
        return Interval(value, np.nan, np.nan, cases, count)

    def drawn(places: npt.NDArray, axis: int) -> npt.NDArray:
        rows = np.moveaxis(places, axis, -1)
        flat = rows.reshape(-1, rows.shape[-1]).astype(int)
        own = flat + len(found) * np.arange(len(flat))[:, None]  # places of each draw's own counts
        counts = np.bincount(own.ravel(), minlength=len(flat) * len(found)).reshape(len(flat), len(found))
        return statistic(counts[:, numbers].astype(float)).reshape(rows.shape[:-1])

    low, high = _bootstrap((np.arange(len(found)),), drawn, len(found), 8 * len(patients), seed)
    return Interval(value, low, high, cases, count)


def _bootstrap(
    data: tuple[npt.NDArray, ...], statistic: Callable[..., npt.NDArray], patients: int, size: int, seed: int
) -> tuple[float, float]:
    """The ends of an interval; ``size`` numbers are in memory for each draw."""
    many = patients >= MANY
    with warnings.catch_warnings():  # of draws that are all alike: there is no interval then, which is told
        warnings.simplefilter("ignore")
        found = bootstrap(
            data,
            statistic,
            paired=len(data) > 1,
            vectorized=True,
            n_resamples=RESAMPLES // 5 if many else RESAMPLES,
            batch=max(1, BATCH // size),
            confidence_level=LEVEL,
            method="percentile" if many else "BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return float(found.low), float(found.high)


def _mean(sums: npt.NDArray, sizes: npt.NDArray, axis: int) -> npt.NDArray:
    return sums.sum(axis=axis) / sizes.sum(axis=axis)
