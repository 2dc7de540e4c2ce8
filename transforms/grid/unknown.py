"""Masks of two conventions in one training: what one of them does not tell is left out of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

UNKNOWN = 2  # the value of a mask's pixels that may be inside or not
MEDIAL = 2 / 3  # of the width of a lung, from the midline on: as far as the heart reaches in most


class UnknownBehindHeartd(MapTransform):
    """Marks what a mask of the lungs does not tell if it counts in what lies behind the heart and the mediastinum.

    Such masks agree with others on where lungs end outwards, and on what is no lung at all. In each row of pixels the
    medial two thirds of each lung become unknown (2); what is inside beside them stays 1, what is outside stays 0.

    Args:
        keys: masks of shape (1, x, y), 0 or 1, x across the patient.
        flag_key: only masks of items whose value here is true are changed; it is taken out of the item.
    """

    def __init__(self, keys: KeysCollection = "label", flag_key: str = "behind_heart"):
        super().__init__(keys)
        self.flag_key = flag_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if d.pop(self.flag_key, False):
            for key in self.key_iterator(d):
                d[key] = d[key].clone()
                d[key][0][torch.from_numpy(_medial(np.asarray(d[key][0].cpu()) > 0))] = UNKNOWN
        return d


def _medial(lungs: np.ndarray) -> np.ndarray:
    """The medial part of each lung, row by row, of shape (x, y)."""
    result = np.zeros_like(lungs)
    columns = np.flatnonzero(lungs.any(axis=1))
    midline = (columns[0] + columns[-1] + 1) / 2 if len(columns) else 0
    for row in np.flatnonzero(lungs.any(axis=0)):
        inside = np.flatnonzero(lungs[:, row])
        for lung in (inside[inside < midline], inside[inside >= midline][::-1]):  # both run to the midline
            result[lung[len(lung) - round(MEDIAL * len(lung)) :], row] = True
    return result


class LeaveOutUnknownd(MapTransform):
    """Where a mask's pixels are unknown, predictions get a given value and the mask 0, so that no metric counts them.

    Args:
        keys: predictions of shape (1, x, y).
        values: that each of them gets there.
        label_key: the mask, of the same shape: 0, 1, or 2 where it is not known.
    """

    def __init__(self, keys: KeysCollection, values: Sequence[float], label_key: str = "label"):
        super().__init__(keys)
        self.values = values
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        unknown = d[self.label_key] == UNKNOWN
        for key, value in self.key_iterator(d, self.values):
            d[key] = d[key].masked_fill(unknown, value)
        d[self.label_key] = d[self.label_key].masked_fill(unknown, 0)
        return d
