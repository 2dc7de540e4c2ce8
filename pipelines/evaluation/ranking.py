"""Which cases a report shows."""

from __future__ import annotations

import pandas as pd

SHOWN = 3  # cases in each picture


def best_median_worst(scores: pd.Series) -> dict[str, pd.Series]:
    """Choose the cases that a report shows.

    Args:
        scores: of the cases, by their number, the higher the better. A case whose score is not a number is never shown.

    Returns:
        the scores of up to SHOWN cases each: ``best``, the best first; ``median``; and ``worst``, the worst first.
        Nothing if no case has a score.
    """
    ranked = scores.dropna().sort_values(kind="stable")
    if ranked.empty:
        return {}
    middle = max(0, (len(ranked) - SHOWN) // 2)
    return {
        "best": ranked.iloc[::-1].iloc[:SHOWN],
        "median": ranked.iloc[middle : middle + SHOWN],
        "worst": ranked.iloc[:SHOWN],
    }
