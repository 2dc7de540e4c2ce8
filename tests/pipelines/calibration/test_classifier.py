"""The classifier of images that is fitted to a network's features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from networks import ImageClassifier, bottom_features
from pipelines.bundle import Bundle
from pipelines.calibration.classifier import features_of, fit_classifier
from pipelines.prediction.model import Model
from tests.conftest import ROOT
from transforms import DataError


def drawn(images=400, others=40, apart=3.0, seed=0):
    """Features of two kinds, apart along the first of them."""
    rng = np.random.default_rng(seed)
    features = rng.normal([0, 10, -2], [1, 5, 0.1], (images + others, 3))
    of_kind = np.arange(images + others) < images
    features[of_kind, 0] += apart
    return features, of_kind


def probabilities(features, fitted):
    return 1 / (1 + np.exp(-(features @ np.array(fitted["weights"]) + fitted["bias"])))


def test_new_images_are_told_apart_at_the_false_alarms_that_were_asked_for():
    fitted = fit_classifier(*drawn(), false_alarms=0.05)
    features, of_kind = drawn(20000, 20000, seed=1)
    below = probabilities(features, fitted) < fitted["threshold"]
    assert below[of_kind].mean() == pytest.approx(0.05, abs=0.02)
    # at 5 % of one normal distribution, 3 standard deviations above the other
    assert below[~of_kind].mean() == pytest.approx(0.912, abs=0.04) == pytest.approx(fitted["found"], abs=0.1)
    assert fitted["images"] == 400 and fitted["others"] == 40


def test_probabilities_are_shares():
    fitted = fit_classifier(*drawn(4000, 4000, apart=1.0))
    features, of_kind = drawn(20000, 20000, apart=1.0, seed=1)
    probability = probabilities(features, fitted)
    for low in (0.2, 0.4, 0.6):
        among = (probability >= low) & (probability < low + 0.2)
        assert of_kind[among].mean() == pytest.approx(low + 0.1, abs=0.05)


def test_too_few_images_are_refused():
    with pytest.raises(DataError, match="400 images of the kind and 12 others: give at least 20"):
        fit_classifier(*drawn(others=12))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(rng.integers(0, 255, (80, 60), dtype=np.uint8)).save(path / f"{number}.png")
    return path


def test_features_are_those_that_a_prediction_judges_by(folder):
    bundle = Bundle.find(ROOT / "bundles" / "lungs")
    rows = features_of(bundle, bundle.weights, [folder, folder])
    assert rows.shape == (6, 320) and np.array_equal(rows[:3], rows[3:]) and not np.array_equal(rows[0], rows[1])
    inference = Model(bundle)._inference
    image = torch.as_tensor(np.asarray(inference.read({"image": str(folder / "1.png")})["image"]))
    np.testing.assert_allclose(rows[1], bottom_features(inference.network, image[None])[0], rtol=1e-4, atol=1e-5)
    fitted = {"weights": [0.01] * 320, "bias": 0.1, "threshold": 0.5}
    logit = 0.01 * rows[1].sum() + 0.1
    assert ImageClassifier(inference.network, fitted)(image)[0] == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-3)


def test_images_are_turned_and_left_out_as_asked(folder, tmp_path):
    bundle = Bundle.find(ROOT / "bundles" / "lungs")
    for name in ("0.png", "2.png"):
        Image.open(folder / name).rotate(-90, expand=True).save(tmp_path / name)  # clockwise, as x runs before y
    turned = features_of(bundle, bundle.weights, [folder], quarters=1, every=2)
    by_pillow = [features_of(bundle, bundle.weights, [tmp_path]), features_of(bundle, bundle.weights, [tmp_path], 2)]
    assert len(turned) == 2 and min(np.abs(turned - rows).max() for rows in by_pillow) < 0.05 * np.abs(turned).max()


def test_a_folder_without_images_is_named(tmp_path):
    bundle = Bundle.find(ROOT / "bundles" / "lungs")
    with pytest.raises(DataError, match="has no image that lungs takes"):
        features_of(bundle, bundle.weights, [tmp_path])
