"""How sure a mean is: its 95 % interval, by a bootstrap over patients."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import bootstrap

LEVEL = 0.95
RESAMPLES = 9_999
ENOUGH = 30  # patients. Of simulated means of skewed values, with 20 patients 91 of 100 intervals hold the truth
MANY = 2_000  # patients, from which on skewness no longer matters, and correcting for it would take minutes
BATCH = 2**24  # drawn numbers in memory at a time


@dataclass(frozen=True)
class Interval:
    """A mean with its interval.

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
    found = bootstrap(
        (sums["sum"].to_numpy(), sums["size"].to_numpy()),
        _mean,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES if count < MANY else RESAMPLES // 5,
        batch=max(1, BATCH // count),
        confidence_level=LEVEL,
        method="BCa" if count < MANY else "percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high), cases, count)


def _mean(sums: npt.NDArray, sizes: npt.NDArray, axis: int) -> npt.NDArray:
    return sums.sum(axis=axis) / sizes.sum(axis=axis)
