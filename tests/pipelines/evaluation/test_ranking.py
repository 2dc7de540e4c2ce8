"""Which cases a report shows, on scores chosen by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipelines.evaluation.ranking import best_median_worst


def chosen(scores):
    return {which: list(cases.index) for which, cases in best_median_worst(pd.Series(scores)).items()}


def test_three_of_each_and_a_case_without_a_score_is_never_shown():
    scores = {10: 0.1, 11: 0.9, 12: 0.3, 13: np.nan, 14: 0.7, 15: 0.5, 16: 0.2, 17: 0.8}  # of seven, 0.5 is the median
    assert chosen(scores) == {"best": [11, 17, 14], "median": [12, 15, 14], "worst": [10, 16, 12]}
    shown = best_median_worst(pd.Series(scores))
    assert shown["best"].tolist() == [0.9, 0.8, 0.7] and shown["worst"].tolist() == [0.1, 0.2, 0.3]


def test_few_cases_are_shown_again_and_none_not_at_all():
    assert chosen({4: 0.2, 5: 0.6}) == {"best": [5, 4], "median": [4, 5], "worst": [4, 5]}
    assert chosen({4: np.nan}) == {}


def test_of_equal_scores_the_first_case_is_the_worst():
    assert chosen(dict.fromkeys(range(5), 0.5)) == {"best": [4, 3, 2], "median": [1, 2, 3], "worst": [0, 1, 2]}
