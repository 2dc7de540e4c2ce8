"""Counts by bin of probability: thresholds, calibration and temperature, against other libraries and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics import CalibrationErrorMetric, DiceMetric
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_score, recall_score

from pipelines.evaluation.pixels import (
    Pixels,
    by_threshold,
    calibration_errors,
    count_pixels,
    fit_temperature,
    gather,
    reliability,
)


@pytest.fixture(scope="module")
def images():
    """Probabilities and truths of six images of 40 x 30; the last has no pixel inside."""
    draw = np.random.default_rng(0)
    probabilities = draw.beta(0.4, 0.6, (6, 40, 30)).astype(np.float32)
    truths = draw.random(probabilities.shape) < probabilities**2
    truths[-1] = False
    return probabilities, truths


@pytest.fixture(scope="module")
def pixels(images):
    return gather([count_pixels(*pair) for pair in zip(*images, strict=True)])


@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.5, 0.99])
def test_metrics_at_a_threshold(images, pixels, threshold):
    probabilities, truths = images
    called = probabilities >= np.float32(threshold)
    row = by_threshold(pixels).loc[threshold]
    pair = (torch.from_numpy(part[:, None].astype(np.float32)) for part in (called, truths))
    dice = DiceMetric(ignore_empty=True, reduction="mean")
    dice(*pair)
    assert row["dice_by_image_over_positives"] == pytest.approx(dice.aggregate().item(), abs=1e-6)
    flat = truths.ravel(), called.ravel()
    assert row["precision_pooled_over_all"] == pytest.approx(precision_score(*flat))
    assert row["recall_pooled_over_all"] == pytest.approx(recall_score(*flat))
    assert row["false_positive_rate_by_image_over_negatives"] == float(called[-1].any())


def test_calibration_errors_are_monai_s(images, pixels):
    whole = [torch.from_numpy(part.astype(np.float32)).reshape(1, 1, -1) for part in images]
    errors = calibration_errors(reliability(pixels))
    for name, kind in (("expected", "expected"), ("maximum", "maximum")):
        metric = CalibrationErrorMetric(num_bins=20, calibration_reduction=kind)
        metric(y_pred=whole[0], y=whole[1])
        assert errors[f"{name}_calibration_error_pooled_over_all"] == pytest.approx(metric.aggregate().item(), abs=2e-4)


def test_the_temperature_is_that_of_a_logistic_regression():
    """Of one feature, the logit, without an intercept: its coefficient is one over the temperature."""
    draw = np.random.default_rng(1)
    probability = expit(draw.normal(0, 3, 40_000)).astype(np.float32)
    truth = draw.random(probability.shape) < expit(logit(probability) / 2)
    fitted = LogisticRegression(C=np.inf, fit_intercept=False).fit(logit(probability)[:, None], truth)
    pixels = count_pixels(probability, truth)
    temperature = fit_temperature(pixels)
    assert temperature == pytest.approx(1 / fitted.coef_[0, 0], rel=0.02) == pytest.approx(2, rel=0.05)
    before, after = (calibration_errors(reliability(pixels, by)) for by in (1.0, temperature))
    assert all(after[name] < before[name] / 4 for name in before)


def test_the_temperature_where_most_pixels_are_background():
    """Of probabilities below 0.01, as nine pixels in ten have, each counts, not their mean."""
    draw = np.random.default_rng(2)
    true = np.concatenate([draw.normal(-5, 2, 90_000), draw.normal(2, 2, 10_000)])
    truth, probability = draw.random(true.shape) < expit(true), expit(2.5 * true)
    assert fit_temperature(count_pixels(probability, truth)) == pytest.approx(2.5, rel=0.05)


def test_counts_by_hand_and_on_disk(tmp_path):
    pixels = count_pixels(np.array([[0.0, 0.005], [0.5, 1.0]]), np.array([[0, 1], [0, 1]]))
    assert pixels.counts.sum() == 4 and pixels.inside.sum() == 2 and pixels.sums.sum() == pytest.approx(1.505)
    assert pixels.counts[0, [0, -1]].tolist() == [1, 1] and pixels.inside[0, [0, -1]].tolist() == [0, 1]
    assert by_threshold(pixels).loc[[0.01, 0.5, 0.51], "recall_pooled_over_all"].tolist() == [0.5, 0.5, 0.5]
    assert by_threshold(pixels).loc[[0.5, 0.51], "precision_pooled_over_all"].tolist() == [0.5, 1]
    pixels.keep(tmp_path / "pixels.npz")
    assert all(np.array_equal(a, b) for a, b in zip(Pixels.load(tmp_path / "pixels.npz"), pixels, strict=True))
