"""The challenge's score on cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.evaluation.rsna_score import (
    IOU_THRESHOLDS,
    average_precisions,
    box_iou,
    image_average_precision,
)

TRUE = [0.0, 0.0, 10.0, 10.0]


def test_thresholds_are_the_challenge_s_eight():
    assert IOU_THRESHOLDS == (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75)


def test_box_iou():
    assert box_iou(TRUE, [5, 0, 10, 10]) == pytest.approx(50 / 150)
    assert box_iou(TRUE, [10, 0, 10, 10]) == 0
    assert box_iou(TRUE, [2, 2, 5, 5]) == pytest.approx(25 / 100)


@pytest.mark.parametrize(
    ("found", "truth", "score"),
    [
        ([(0.9, TRUE)], [TRUE], 1.0),
        ([], [TRUE], 0.0),
        ([(0.9, TRUE)], [], 0.0),
        ([], [], None),
        # IoU 0.6: hits at 0.40 to 0.55, and not at 0.60, since it must be greater
        ([(0.9, (0, 0, 10, 6))], [TRUE], 4 / 8),
        # one of two true boxes found, and one false: 1 / (1 + 1 + 1) at every threshold
        ([(0.9, TRUE), (0.8, (50, 50, 5, 5))], [TRUE, [90, 90, 9, 9]], 1 / 3),
        # two predictions on one true box: the second is false, 1 / 2
        ([(0.9, TRUE), (0.8, TRUE)], [TRUE], 1 / 2),
        # the more confident, worse one (IoU 0.5) takes the box where it can (0.40, 0.45), else the better one (0.8);
        # either way one hit and one miss: 1 / 2
        ([(0.8, (0, 0, 10, 8)), (0.9, (0, 0, 10, 5))], [TRUE], 1 / 2),
    ],
)
def test_average_precision_of_an_image(found, truth, score):
    result = image_average_precision(found, truth)
    assert result is None if score is None else result == pytest.approx(score)


def test_mean_leaves_out_images_with_neither_box_nor_prediction():
    found = [[(0.9, TRUE)], [], [(0.7, TRUE)]]
    assert average_precisions(found, [[TRUE], [], []]).mean() == pytest.approx((1 + 0) / 2)
    assert np.isnan(average_precisions([[]], [[]]).mean())


def test_boxes_below_the_confidence_do_not_count():
    found, truth = [[(0.9, TRUE), (0.3, [50, 50, 5, 5])], [(0.3, TRUE)]], [[TRUE], []]
    assert list(average_precisions(found, truth)) == pytest.approx([1 / 2, 0])
    scores = average_precisions(found, truth, confidence=0.5)
    assert scores[0] == 1 and np.isnan(scores[1])
