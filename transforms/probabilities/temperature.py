"""Temperature scaling: how sure a network is, corrected by one number (Guo et al., ICML 2017)."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from ..errors import DataError


def with_temperature(probability: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities with their logits divided by a temperature: sigmoid(logit(p) / T).

    Args:
        probability: of any shape, 0 to 1; 0, 0.5 and 1 stay as they are.
        temperature: above 1 makes all less sure, below 1 surer.

    Returns:
        float32 of the same shape.

    Raises:
        DataError: if the temperature is not a number above 0.
    """
    _check(temperature)
    if temperature == 1:
        return np.asarray(probability, np.float32)
    with np.errstate(divide="ignore"):  # of 0 and 1, whose logits are infinite and stay so
        return expit(logit(np.asarray(probability, np.float32)) / np.float32(temperature))


def before_temperature(threshold: float, temperature: float) -> float:
    """The threshold that does to a network's own probabilities what ``threshold`` does to those with a temperature.

    Args:
        threshold: 0 to 1.
        temperature: as of :func:`with_temperature`.

    Raises:
        DataError: as :func:`with_temperature`.
    """
    _check(temperature)
    return threshold if temperature == 1 else float(expit(logit(threshold) * temperature))


def _check(temperature: float) -> None:
    if not 0 < temperature < np.inf:
        raise DataError(f"temperature is {temperature!r}: give a number above 0; 1 changes nothing.")
