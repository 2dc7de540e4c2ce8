"""What a report says first, of figures that are given."""

from __future__ import annotations

import pytest

from pipelines.reporting.intervals import Interval
from pipelines.reporting.summary import beware

SURE, FEW = 100, 29  # patients


def mean(value, patients=SURE):
    return Interval(value, value - 0.01, value + 0.01, patients, patients)


def warnings(whole=0.9, patients=SURE, groups=(), calibration=(), predicted=None, in_sample=None, learnt=None):
    result = {"calibration": dict(calibration), "predicted_dice": predicted}
    result |= {"in_sample": in_sample, "trained_images": learnt}
    return beware(mean(whole, patients), list(groups), "dice", result)


def test_nothing_is_said_where_all_is_well():
    groups = [("sex", "F", mean(0.86)), ("sex", "M", mean(0.94))]
    errors = {"expected_calibration_error_pooled_over_all": 0.049}
    learnt = {"sample": 64, "in_manifest": 64, "measured": 0}
    assert warnings(0.9, SURE, groups, errors, coverage(0.85, 0.9), in_sample=False, learnt=learnt) == []


def test_groups_are_named_that_are_worse_or_too_few():
    assert warnings(groups=[("sex", "F", mean(0.84)), ("view", "PA", mean(0.2, FEW))]) == [
        "sex F: dice is 0.840 where that of all cases is 0.900.",
        "Too few patients to say anything of: view PA.",
    ]
    assert warnings(patients=FEW) == ["Only 29 patients: the interval may be narrower than it should be."]


def test_probabilities_that_are_off_are_told():
    (found,) = warnings(calibration={"expected_calibration_error_pooled_over_all": 0.05})
    assert found == "Probabilities are off by 0.05 on average: do not read them as probabilities."


def coverage(held, high):
    return {"level": 0.9, "coverage": held, "coverage_interval": [held and held - 0.1, high]}


@pytest.mark.parametrize(("held", "high", "lines"), [(0.66, 0.77, 1), (0.83, 0.91, 0), (None, None, 0)])
def test_intervals_of_predicted_dice_that_surely_hold_too_seldom_are_told(held, high, lines):
    found = warnings(predicted=coverage(held, high))
    assert len(found) == lines and all("claim 90% and hold 66%" in line for line in found)


def test_images_that_were_learnt_from_or_fitted_to_are_told():
    (found,) = warnings(in_sample=True)
    assert "are in-sample, and too good" in found
    (found,) = warnings(learnt={"sample": 64, "in_manifest": 64, "measured": 7})
    assert "learnt from images that are measured here: 7 of 64" in found
