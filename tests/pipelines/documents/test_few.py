"""Groups of a handful of patients, which a card does not tell of."""

from __future__ import annotations

import pytest

from pipelines.documents.few import without_few


def group(by, value, patients, **intervals):
    return {"by": by, "value": value, "patients": patients, "mean": 0.5, "intervals": intervals}


@pytest.mark.parametrize(
    ("patients", "told"),
    [
        ([5, 6], [5, 6]),
        ([4, 9], []),  # the nine and all thirteen would tell of the four
        ([1, 4, 9], [9]),  # five are left out together
        ([2, 9, 30, 7], [9, 30]),
        ([3, 3, 8], [8]),
        ([4], []),
        ([0, 8], [8]),
        ([], []),
    ],
)
def test_what_is_left_out_stands_for_five_patients(patients, told):
    groups = [group("sex", str(number), count) for number, count in enumerate(patients)]
    kept = without_few([group("view", "AP", 50), *groups])
    assert [one["patients"] for one in kept] == [50, *told]


def test_other_metrics_by_their_own_patients():
    groups = [group("sex", "F", 40, auc={"patients": 3}, score={"patients": 30})]
    groups += [group("sex", "M", 50, auc={"patients": 20}, score={"patients": 40})]
    groups += [group("view", "AP", 90, auc={"patients": 23}, score={"patients": 70})]
    kept = without_few(groups)
    assert [set(one["intervals"]) for one in kept] == [{"score"}, {"score"}, {"auc", "score"}]
    assert set(groups[0]["intervals"]) == {"auc", "score"}  # what was given is not changed
