"""Fits what predicts a mask's Dice from how sure the network is, with an interval by split conformal prediction."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import pandas as pd
from crepes import ConformalRegressor
from scipy.stats import theilslopes
from sklearn.model_selection import GroupShuffleSplit

from transforms import DataError, log_error

from .likeness import fit_likeness

FEATURES = ("expected_dice", "edge_entropy", "area", "symmetry")  # see transforms.mask_features
LEVEL = 0.9  # of the intervals
LEAST = 20  # cases: half of them fit, and an interval of 90 % needs nine others at the least


class TooFewError(DataError):
    """There are too few cases to predict Dice from."""


def fit_quality(
    cases: pd.DataFrame, threshold: float, bottom: npt.NDArray | None = None, seed: int = 0
) -> dict[str, Any]:
    """Fit a mask's Dice to its features on images that were not trained on.

    The patients are divided into two halves. On the first a line is laid through the logarithms of 1 - Dice and of
    1 - expected Dice (Theil-Sen, which outliers do not move). The second says how far off the line is (a factor on
    1 - Dice that 90 % of cases stay within, in the sense of split conformal prediction, by the package crepes) and how
    far from the first half's mean, in standard deviations of any feature, a case may lie: no farther than all of its
    own, so that of n such cases one in n + 1 more is called outside at the most, on average.

    Args:
        cases: a row each with ``patient``, FEATURES, and ``dice``; those without a Dice, as it is not defined or means
            nothing, are not used.
        threshold: that the masks were made with.
        bottom: of each case's image, see :func:`pipelines.calibration.likeness.fit_likeness`. None: the network has no
            such features, and images are not compared.
        seed: of the division.

    Returns:
        what :func:`transforms.predict_dice` needs, as JSON can hold it.

    Raises:
        TooFewError: if there are fewer than LEAST cases, or patients.
    """
    known = cases[cases["dice"].notna() & (cases["area"] > 0)]
    if len(known) < LEAST or known["patient"].nunique() < LEAST:
        raise TooFewError(
            f"{len(known)} cases of {known['patient'].nunique()} patients have a truth and a mask, and predicting Dice "
            f"needs {LEAST} of as many patients. Give a manifest with a larger validation split."
        )
    halves = GroupShuffleSplit(1, train_size=0.5, random_state=seed).split(known, groups=known["patient"])
    first, second = (known.iloc[rows] for rows in next(halves))
    line = theilslopes(log_error(first["dice"]), log_error(first["expected_dice"]))
    off = log_error(second["dice"]) - line.intercept - line.slope * log_error(second["expected_dice"])
    ((_, half_width),) = ConformalRegressor().fit(off).predict_int([0.0], confidence=LEVEL)
    likeness = {} if bottom is None else {"likeness": fit_likeness(bottom, cases["patient"])}
    features = list(FEATURES)
    mean, scale = first[features].mean(), first[features].std().clip(lower=1e-3)
    return {
        "features": {
            name: {
                "seen": [float(known[name].min()), float(known[name].max())],
                "mean": float(mean[name]),
                "scale": float(scale[name]),
            }
            for name in features
        },
        "limit": float(((second[features] - mean) / scale).abs().max(axis=None)),
        "intercept": float(line.intercept),
        "slope": float(line.slope),
        "half_width": float(half_width),
        "level": LEVEL,
        "threshold": threshold,
        "cases": {"fitted": len(first), "calibrated": len(second)},
        **likeness,
    }
