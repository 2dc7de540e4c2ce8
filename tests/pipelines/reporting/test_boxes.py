"""The free-response ROC, worked out by hand."""

from __future__ import annotations

from pipelines.reporting.boxes import free_response

TRUE, NEAR, FAR = (10, 10, 20, 20), (12, 10, 20, 20), (60, 60, 10, 10)  # the first two overlap by 18 / 22


def test_by_hand():
    """Three true boxes on two images of three; the sure box hits, its rival on the same box does not."""
    found = [[(0.9, NEAR), (0.6, TRUE), (0.3, FAR)], [(0.6, FAR)], [(0.8, TRUE)]]
    truth = [[TRUE], [TRUE, FAR], []]
    curve = free_response(found, truth)
    assert curve["confidence"].tolist() == [0.9, 0.8, 0.6, 0.3]
    assert curve["sensitivity"].tolist() == [1 / 3, 1 / 3, 2 / 3, 2 / 3]
    assert curve["false_boxes_an_image"].tolist() == [0, 1 / 3, 2 / 3, 1]


def test_without_a_true_box_there_is_no_curve():
    assert free_response([[(0.9, TRUE)]], [[]]).empty


def test_nothing_found():
    assert free_response([[]], [[TRUE]]).empty
