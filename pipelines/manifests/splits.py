"""Divides patients over training, validation and test. Knows no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from transforms import DataError

SPLITS = ("training", "validation", "test")


def check_fractions(fractions: Sequence[float]) -> None:
    """Check the fractions of training, validation and test, for those who have much to do before they split.

    Raises:
        DataError: if they are not three, none negative, that add up to 1.
    """
    if len(fractions) != 3 or min(fractions) < 0 or not abs(sum(fractions) - 1) <= 1e-6:
        raise DataError(f"the fractions {tuple(fractions)} must be three, none negative, that add up to 1.")


def split_patients(
    patients: Sequence[str], strata: Sequence[str], fractions: Sequence[float], seed: int
) -> dict[str, str]:
    """Divide patients over training, validation and test, each stratum alike.

    Args:
        patients: the patient of each image; a patient may come several times.
        strata: the stratum of each image; a patient's is the rarest of its images'.
        fractions: of training, validation and test; they must add up to 1.
        seed: the same seed gives the same split.

    Returns:
        the split of each patient.

    Raises:
        DataError: if the fractions are not three that add up to 1.
    """
    check_fractions(fractions)
    frequency = Counter(strata)
    stratum_of: dict[str, str] = {}
    for patient, stratum in zip(patients, strata, strict=True):
        stratum_of[patient] = min(stratum_of.get(patient, stratum), stratum, key=lambda s: (frequency[s], s))
    rng = np.random.default_rng(seed)
    split_of: dict[str, str] = {}
    for stratum in sorted(frequency):
        members = rng.permutation(sorted(p for p, s in stratum_of.items() if s == stratum))
        bounds = np.round(np.cumsum(fractions) * len(members)).astype(int)
        for split, part in zip(SPLITS, np.split(members, bounds[:2]), strict=True):
            split_of.update({str(patient): split for patient in part})
    return split_of
