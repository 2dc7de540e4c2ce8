"""What a report says first, of figures that are given."""

from __future__ import annotations

import pytest

from pipelines.reporting.intervals import Interval
from pipelines.reporting.summary import beware

SURE, FEW = 100, 29  # patients


def mean(value, patients=SURE):
    return Interval(value, value - 0.01, value + 0.01, patients, patients)


def warnings(whole=0.9, patients=SURE, groups=(), calibration=(), predicted=None):
    return beware(mean(whole, patients), list(groups), "dice", dict(calibration), predicted)


def test_nothing_is_said_where_all_is_well():
    groups = [("sex", "F", mean(0.86)), ("sex", "M", mean(0.94))]
    errors = {"expected_calibration_error_pooled_over_all": 0.049}
    assert warnings(groups=groups, calibration=errors, predicted=coverage(0.85, 0.9)) == []


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
