"""Metrics against scikit-learn, and their aggregations worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import binary_dilation, binary_erosion
from sklearn import metrics as sklearn

from pipelines.binary_metrics import image_row, summarise, surface_distances


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(5)
    truths = [(rng.random((9, 7)) < share).astype(np.uint8) for share in (0.3, 0, 0.6, 0, 0.1, 0.2, 0)]
    probabilities = [np.clip(0.35 * t + rng.random(t.shape) * 0.6, 0, 1) for t in truths]
    probabilities[3] = probabilities[3] * 0.5  # a negative without any pixel predicted
    return probabilities, truths


def rows_of(images):
    return pd.DataFrame([image_row(p, t, 0.5) for p, t in zip(*images)])


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
    negatives = np.concatenate([p.ravel() >= 0.5 for p, t in zip(*images) if not t.any()])
    assert result["false_positive_rate_by_pixel_over_negatives"] == pytest.approx(negatives.mean())


def test_metrics_by_image_and_by_batch_are_scikit_learn_s(images):
    result = summarise(rows_of(images), 3, 0.5)
    pairs = [(t.ravel(), p.ravel() >= 0.5) for p, t in zip(*images)]
    by_image = [sklearn.f1_score(t, p) for t, p in pairs if t.any()]
    assert result["dice_by_image_over_positives"] == pytest.approx(np.mean(by_image))
    assert result["dice_by_image_over_positives_standard_deviation"] == pytest.approx(np.std(by_image))
    batches = [[np.concatenate(column) for column in zip(*pairs[i : i + 3])] for i in (0, 3, 6)]
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


def test_what_is_not_defined_is_none_and_not_a_number_of_luck():
    rows = pd.DataFrame([image_row(np.ones((2, 2)), np.ones((2, 2)), 0.5)])
    result = summarise(rows, 2, 0.5)
    assert result["dice_by_image_over_positives"] == 1
    for name in (
        "image_roc_auc_over_all",
        "image_specificity_over_negatives",
        "false_positive_rate_by_pixel_over_negatives",
    ):
        assert result[name] is None
    assert np.isnan(image_row(np.zeros((2, 2)), np.zeros((2, 2)), 0.5)["dice"])


def test_prediction_in_another_grid_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        image_row(np.zeros((2, 3)), np.zeros((3, 2)), 0.5)


# Surface distances ---------------------------------------------------------------------------------------------------


def test_surface_distance_of_two_points_in_pixels_and_millimetres():
    prediction, truth = np.zeros((20, 10), bool), np.zeros((20, 10), bool)
    prediction[5, 4], truth[8, 8] = True, True  # 3 pixels in x and 4 in y
    found = surface_distances(prediction, truth, (2.0, 0.5))
    assert found == {"surface_distance_pixels": 5.0, "surface_distance_mm": pytest.approx(np.hypot(6, 2))}
    assert np.isnan(surface_distances(prediction, truth, None)["surface_distance_mm"])
    assert np.isnan(surface_distances(prediction & False, truth, (1.0, 1.0))["surface_distance_pixels"])


def test_surface_distance_is_that_of_every_surface_pixel_to_the_nearest_of_the_other():
    rng = np.random.default_rng(0)
    prediction, truth = (binary_dilation(rng.random((40, 30)) > 0.995, iterations=5) for _ in range(2))
    edges = [np.argwhere(mask & ~binary_erosion(mask)) for mask in (prediction, truth)]
    apart = np.sqrt(((edges[0][:, None] - edges[1][None]) ** 2).sum(-1))
    expected = np.concatenate([apart.min(1), apart.min(0)]).mean()
    assert surface_distances(prediction, truth, None)["surface_distance_pixels"] == pytest.approx(expected)


def test_surface_distances_and_the_5th_percentile_are_summarised():
    rows = [{"tp": 1, "fp": 0, "fn": 1, "tn": 2, "score": 0.9, "dice": d, "iou": d} for d in np.linspace(0, 1, 21)]
    table = pd.DataFrame(rows).assign(surface_distance_pixels=[2.0, 4.0, np.nan] * 7)
    result = summarise(table, 2, 0.5)
    assert result["dice_by_image_over_positives_5th_percentile"] == pytest.approx(0.05)
    assert result["average_surface_distance_in_pixels_by_image_where_both_have_a_surface"] == pytest.approx(3.0)
    assert "average_surface_distance_in_mm_by_image_where_both_have_a_surface" not in result
