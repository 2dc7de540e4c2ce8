"""Fits what tells images like those of a calibration from others, by what the network makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold

from transforms import distance

LIKE = 0.95  # the share of images of the same kind that are within the limit
FOLDS = 5
LEAST_SCALE = 1e-3  # of a feature that is next to constant


def fit_likeness(bottom: npt.NDArray, patients: npt.ArrayLike) -> dict[str, Any]:
    """Fit how far from images of a calibration another one may be, as :func:`transforms.distance` measures it.

    The limit is cross-validated by patient: the distance that LIKE of the images do not exceed, each from the images of
    other patients.

    Args:
        bottom: features at the bottom of the network, of shape (images, features), see
            :func:`networks.bottom_features`.
        patients: whose each image is, at least FOLDS of them.

    Returns:
        ``mean`` and ``scale`` of each feature, and ``limit``, as JSON can hold them.
    """
    held = np.empty(len(bottom))
    for others, part in GroupKFold(FOLDS).split(bottom, groups=patients):
        held[part] = distance(bottom[part], _spread(bottom[others]))
    return {**_spread(bottom), "limit": _short(np.quantile(held, LIKE))}


def _spread(bottom: npt.NDArray) -> dict[str, list[float]]:
    values = np.asarray(bottom, float)
    scale = np.maximum(values.std(axis=0), LEAST_SCALE)
    return {"mean": [_short(value) for value in values.mean(axis=0)], "scale": [_short(value) for value in scale]}


def _short(value: float) -> float:
    """Six digits: files of weights' descriptions are read by people too."""
    return float(f"{value:.6g}")
