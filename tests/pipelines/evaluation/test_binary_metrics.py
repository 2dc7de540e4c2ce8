"""Metrics against scikit-learn, and their aggregations worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn

from pipelines.evaluation.binary_metrics import image_row, summarise


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(5)
    truths = [(rng.random((9, 7)) < share).astype(np.uint8) for share in (0.3, 0, 0.6, 0, 0.1, 0.2, 0)]
    probabilities = [np.clip(0.35 * t + rng.random(t.shape) * 0.6, 0, 1) for t in truths]
    probabilities[3] = probabilities[3] * 0.5  # a negative without any pixel predicted
    return probabilities, truths


def rows_of(images):
    return pd.DataFrame([image_row(p, t, 0.5) for p, t in zip(*images, strict=True)])


def test_pooled_metrics_are_scikit_learn_s(images):
    result = summarise(rows_of(images), 2, 0.5)
    truth = np.concatenate([t.ravel() for t in images[1]])
    predicted = np.concatenate([p.ravel() for p in images[0]]) >= 0.5
    assert result["precision_pooled_over_all"] == pytest.approx(sklearn.precision_score(truth, predicted))
    assert result["recall_pooled_over_all"] == pytest.approx(sklearn.recall_score(truth, predicted))
    assert result["f1_pooled_over_all"] == pytest.approx(sklearn.f1_score(truth, predicted))
    assert result["dice_pooled_over_all"] == result["f1_pooled_over_all"]
    assert result["iou_pooled_over_all"] == pytest.approx(sklearn.jaccard_score(truth, predicted))


def test_image_metrics_are_scikit_learn_s(images):
    result = summarise(rows_of(images), 2, 0.5)
    positive = np.array([t.any() for t in images[1]])
    score = np.array([p.max() for p in images[0]])
    assert result["image_roc_auc_over_all"] == pytest.approx(sklearn.roc_auc_score(positive, score))
    recall = sklearn.recall_score(positive, score >= 0.5)
    specificity = sklearn.recall_score(positive, score >= 0.5, pos_label=0)
    assert result["image_sensitivity_over_positives"] == pytest.approx(recall)
    assert result["image_specificity_over_negatives"] == pytest.approx(specificity)
    assert 0 < specificity < 1
    assert result["false_positive_rate_by_image_over_negatives"] == pytest.approx(1 - specificity)
    negatives = np.concatenate([p.ravel() >= 0.5 for p, t in zip(*images, strict=True) if not t.any()])
    assert result["false_positive_rate_by_pixel_over_negatives"] == pytest.approx(negatives.mean())


def test_metrics_by_image_and_by_batch_are_scikit_learn_s(images):
    result = summarise(rows_of(images), 3, 0.5)
    pairs = [(t.ravel(), p.ravel() >= 0.5) for p, t in zip(*images, strict=True)]
    by_image = [sklearn.f1_score(t, p) for t, p in pairs if t.any()]
    assert result["dice_by_image_over_positives"] == pytest.approx(np.mean(by_image))
    assert result["dice_by_image_over_positives_standard_deviation"] == pytest.approx(np.std(by_image))
    batches = [[np.concatenate(column) for column in zip(*pairs[i : i + 3], strict=True)] for i in (0, 3, 6)]
    assert result["dice_by_batch_of_3_over_all"] == pytest.approx(np.mean([sklearn.f1_score(t, p) for t, p in batches]))
    assert result["iou_by_batch_of_3_over_all"] == pytest.approx(
        np.mean([sklearn.jaccard_score(t, p) for t, p in batches])
    )


def test_aggregations_by_hand():
    full, half, empty = np.ones((2, 2)), np.array([[1.0, 1], [0, 0]]), np.zeros((2, 2))
    rows = pd.DataFrame([image_row(half, full, 0.5), image_row(empty, empty, 0.5), image_row(half, empty, 0.5)])
    result = summarise(rows, 2, 0.5)
    assert result["dice_by_image_over_positives"] == pytest.approx(2 / 3)  # 2 * 2 / (2 + 4)
    assert result["iou_by_image_over_positives"] == pytest.approx(1 / 2)
    assert result["dice_by_batch_of_2_over_all"] == pytest.approx((2 / 3 + 0) / 2)
    assert result["dice_pooled_over_all"] == pytest.approx(2 * 2 / (2 * 2 + 2 + 2))
    assert result["false_positive_rate_by_pixel_over_negatives"] == pytest.approx(2 / 8)
    assert result["false_positive_rate_by_image_over_negatives"] == pytest.approx(1 / 2)


def test_what_is_not_defined_is_not_a_number_and_no_number_of_luck():
    rows = pd.DataFrame([image_row(np.ones((2, 2)), np.ones((2, 2)), 0.5)])
    result = summarise(rows, 2, 0.5)
    assert result["dice_by_image_over_positives"] == 1
    for name in (
        "image_roc_auc_over_all",
        "image_specificity_over_negatives",
        "false_positive_rate_by_pixel_over_negatives",
    ):
        assert np.isnan(result[name])
    assert np.isnan(image_row(np.zeros((2, 2)), np.zeros((2, 2)), 0.5)["dice"])


def test_prediction_in_another_grid_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        image_row(np.zeros((2, 3)), np.zeros((3, 2)), 0.5)


def test_metrics_of_surfaces_are_of_each_image_and_averaged_where_both_have_a_surface():
    at = [np.zeros((20, 10)) for _ in range(3)]
    at[0][5, 4], at[1][8, 8], at[2][5, 8] = 1, 1, 1  # 3 pixels in x and 4 in y apart; 4 in y
    rows = [image_row(at[0], at[1], 0.5, (2.0, 0.5)), image_row(at[0], at[2], 0.5), image_row(at[0], 0 * at[0], 0.5)]
    assert rows[0]["average_surface_distance_in_pixels"] == 5
    assert rows[0]["average_surface_distance_in_mm"] == pytest.approx(np.hypot(6, 2))
    result = summarise(pd.DataFrame(rows), 2, 0.5)
    assert result["average_surface_distance_in_pixels_by_image_where_both_have_a_surface"] == pytest.approx(4.5)
    assert result["average_surface_distance_in_mm_by_image_where_both_have_a_surface"] == pytest.approx(np.hypot(6, 2))


def test_5th_percentile_of_dice():
    rows = [image_row(np.arange(100.0)[None] >= 100 - n, np.ones((1, 100)), 0.5) for n in range(101)]
    dice = [2 * n / (100 + n) for n in range(101)]
    result = summarise(pd.DataFrame(rows), 2, 0.5)
    assert result["dice_by_image_over_positives_5th_percentile"] == pytest.approx(np.percentile(dice, 5))
