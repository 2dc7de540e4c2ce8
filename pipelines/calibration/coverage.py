"""How well predicted Dice holds on images that nothing was fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from transforms import predict_dice

POOR = 0.90  # a Dice below this is poor
FEW = 5  # cases on either side of it: with fewer, masks below the median are looked for


def predicted(cases: pd.DataFrame, quality: dict[str, Any]) -> pd.DataFrame:
    """What is predicted of each case beside its true Dice.

    Args:
        cases: a row each, with ``dice`` and the features of its mask; those without a Dice are left out.
        quality: as in ``model.json``.

    Returns:
        columns ``dice``, ``predicted``, ``low``, ``high`` and ``outside``; those outside have no numbers.
    """
    known = cases[cases["dice"].notna()]
    found = [predict_dice(row, quality) for row in known.to_dict("records")]
    ends = [one["interval"] or (np.nan, np.nan) for one in found]
    return pd.DataFrame(
        {
            "dice": known["dice"],
            "predicted": [np.nan if one["outside"] else one["predicted_dice"] for one in found],
            "low": [low for low, _ in ends],
            "high": [high for _, high in ends],
            "outside": np.array([one["outside"] for one in found], bool),
        },
        index=known.index,
    )


def coverage(table: pd.DataFrame, level: float) -> dict[str, Any]:
    """How often the intervals of :func:`predicted` hold the true Dice, and whether poor masks are found.

    Args:
        table: as :func:`predicted` gives it.
        level: that the intervals claim.

    Returns:
        ``cases``; ``outside_share`` of them; of those inside ``coverage`` with its 95 % interval (Clopper-Pearson) and
        ``mean_width``; ``mean_dice_inside`` and ``_outside``; and the ROC AUC of finding masks whose Dice is below
        ``poor_below``, with those that are outside first: ``auc``. It is POOR, or the median where fewer than FEW cases
        are below it or above. What is not defined is None.
    """
    inside, outside = table[~table["outside"]], table[table["outside"]]
    held = int(inside["dice"].between(inside["low"], inside["high"]).sum())
    ends = binomtest(held, len(inside)).proportion_ci() if len(inside) else (None, None)
    below = int((table["dice"] < POOR).sum())
    limit = POOR if FEW <= below <= len(table) - FEW else float(table["dice"].median())
    poor = table["dice"] < limit
    suspicion = -table["predicted"].fillna(-1.0)
    return {
        "cases": len(table),
        "outside_share": len(outside) / len(table) if len(table) else None,
        "level": level,
        "coverage": held / len(inside) if len(inside) else None,
        "coverage_interval": [None if end is None else float(end) for end in ends],
        "mean_width": float((inside["high"] - inside["low"]).mean()) if len(inside) else None,
        "mean_dice_inside": float(inside["dice"].mean()) if len(inside) else None,
        "mean_dice_outside": float(outside["dice"].mean()) if len(outside) else None,
        "poor_below": limit if len(table) else None,
        "poor_cases": int(poor.sum()),
        "auc": float(roc_auc_score(poor, suspicion)) if 0 < poor.sum() < len(poor) else None,
    }
