"""Intervals of means: against SciPy on its own, by hand, and what they hold in simulations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap, rankdata
from sklearn.metrics import roc_auc_score

from pipelines.reporting import intervals
from pipelines.reporting.intervals import area_under_roc, figure_interval, mean_interval, mean_of


def test_where_each_patient_has_one_case_it_is_scipy_s_of_the_mean():
    values = pd.Series(np.random.default_rng(1).beta(4, 1, 60))
    ours = mean_interval(values, pd.Series(range(60)))
    theirs = bootstrap((values,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(7))
    assert ours.mean == pytest.approx(values.mean()) and (ours.cases, ours.patients) == (60, 60)
    expected = theirs.confidence_interval.low, theirs.confidence_interval.high
    assert (ours.low, ours.high) == pytest.approx(expected, abs=0.004)


def test_cases_of_one_patient_count_as_one_draw():
    """Ten copies of each case say nothing more; taken as cases of their own they would seem to."""
    values = pd.Series(np.random.default_rng(2).beta(4, 1, 40))
    once = mean_interval(values, pd.Series(range(40)))
    copied = mean_interval(pd.concat([values] * 10, ignore_index=True), pd.Series(list(range(40)) * 10))
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    assert (copied.cases, copied.patients) == (400, 40)


def test_values_and_patients_of_different_rows_are_refused():
    """Of the last two of three cases, say, with patients counted anew."""
    with pytest.raises(ValueError, match="different indices"):
        mean_interval(pd.Series([0.1, 0.2, 0.3])[1:], pd.Series([1, 2]))


@pytest.mark.parametrize(
    ("values", "patients", "expected"),
    [
        ([0.5, np.nan, 0.7], [1, 2, 3], (0.6, 2, 2)),
        ([0.5, 0.7], [1, 1], (0.6, 2, 1)),
        ([0.4, 0.4, 0.4], [1, 2, 3], (0.4, 3, 3)),
    ],
)
def test_what_is_counted(values, patients, expected):
    found = mean_interval(pd.Series(values), pd.Series(patients))
    assert (found.mean, found.cases, found.patients) == pytest.approx(expected)
    assert np.isnan(found.low) == (expected[2] < 2) and not found.is_sure
    assert "too few to be sure" in str(found)


def images(count=80, patients=60):
    """Scores with ties, whether each image is positive, and of whom it is."""
    draw = np.random.default_rng(4)
    positive = pd.Series(draw.random(count) < 0.4)
    scores = pd.Series(np.round(draw.normal(positive, 1), 1))
    return scores, positive, pd.Series(draw.integers(0, patients, count))


def test_the_area_counts_cases_as_often_as_they_are_drawn():
    scores, positive, _ = images()
    counts = np.random.default_rng(5).integers(0, 4, (3, len(scores))).astype(float)
    expected = [roc_auc_score(positive, scores, sample_weight=row) for row in counts]
    assert area_under_roc(scores, positive)(counts) == pytest.approx(expected)
    assert np.isnan(area_under_roc(scores, positive)(positive.to_numpy(float)))  # no negative is drawn


def test_the_interval_of_an_area_is_scipy_s_with_areas_by_ranks():
    scores, positive, _ = images()

    def area(score, inside):
        ranks, count = rankdata(score)[inside > 0], inside.sum()
        return (ranks.sum() - count * (count + 1) / 2) / (count * (len(inside) - count))

    theirs = bootstrap(
        (scores, positive), area, paired=True, vectorized=False, n_resamples=4999, rng=np.random.default_rng(7)
    ).confidence_interval
    found = figure_interval(area_under_roc(scores, positive), pd.Series(range(80)), positive)
    assert found.mean == pytest.approx(roc_auc_score(positive, scores))
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)
    assert (found.cases, found.patients) == (positive.sum(), positive.sum())


def test_images_of_one_patient_are_drawn_together():
    scores, positive, _ = images()
    once = figure_interval(area_under_roc(scores, positive), pd.Series(range(80)), positive)
    scores, positive = (pd.concat([column] * 5, ignore_index=True) for column in (scores, positive))
    copied = figure_interval(area_under_roc(scores, positive), pd.Series(list(range(80)) * 5), positive)
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    assert (copied.cases, copied.patients) == (5 * once.cases, once.patients)


def test_a_mean_has_the_same_interval_either_way():
    values = pd.Series(np.random.default_rng(2).beta(4, 1, 60))
    values[::7] = np.nan
    patients = pd.Series(np.arange(60) // 2)
    one, other = mean_interval(values, patients), figure_interval(mean_of(values), patients, values.notna())
    assert (other.mean, other.cases, other.patients) == (pytest.approx(one.mean), one.cases, one.patients)
    assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=0.003)


def test_an_area_that_is_the_same_in_all_draws_has_no_ends():
    positive = pd.Series([False, False, False, True, True, True])
    found = figure_interval(area_under_roc(pd.Series(range(6)), positive), pd.Series(range(6)), positive)
    assert found.mean == 1 and np.isnan(found.low) and found.as_dict()["high"] is None


def test_nothing_has_no_mean():
    found = mean_interval(pd.Series([np.nan]), pd.Series([1]))
    assert str(found) == "not defined" and found.as_dict()["mean"] is None and found.cases == 0


def test_many_patients_take_seconds_and_have_the_interval_of_the_normal_distribution():
    values = pd.Series(np.random.default_rng(3).beta(4, 1, 20_000))
    found = mean_interval(values, pd.Series(range(20_000)))
    half = 1.96 * values.std() / np.sqrt(20_000)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=half / 10)


@pytest.mark.slow
@pytest.mark.parametrize(("patients", "least"), [(20, 0.88), (60, 0.915), (200, 0.925)])
def test_how_often_the_interval_holds_the_truth(monkeypatch, patients, least):
    """Of 600 samples of values skewed as Dice is. 95 of 100 are claimed; with few patients it is less."""
    monkeypatch.setattr(intervals, "RESAMPLES", 999)
    draw, holds = np.random.default_rng(0), 0
    for seed in range(600):
        found = mean_interval(pd.Series(draw.beta(4, 0.7, patients)), pd.Series(range(patients)), seed)
        holds += found.low <= 4 / 4.7 <= found.high
    assert least < holds / 600 < 0.97
    assert found.is_sure == (patients >= 60)
