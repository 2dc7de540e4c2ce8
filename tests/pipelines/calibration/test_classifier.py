"""The classifier of images that is fitted to a network's features."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from networks import BottomFeatures, ImageClassifier, bottom_features
from pipelines import draw_phantoms
from pipelines.__main__ import main
from pipelines.bundle import Bundle
from pipelines.calibration.classifier import features_of, fit_classifier, fit_frontal
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


def test_what_does_not_count_is_learnt_from_and_not_told():
    features, of_kind = drawn(400, 60)
    counted = np.arange(len(features)) < 430
    fitted = fit_classifier(features, of_kind, counted=counted)
    assert (fitted["images"], fitted["others"]) == (400, 30) and fitted["false_alarms"] == pytest.approx(
        1 / 400, abs=0.002
    )
    with pytest.raises(DataError, match="400 images of the kind and 10 others"):
        fit_classifier(features, of_kind, counted=np.arange(len(features)) < 410)


def test_copies_of_an_image_are_not_judged_by_a_fit_that_saw_it():
    """Features without any meaning: what is found of others is chance, however often each image is there."""
    rng = np.random.default_rng(0)
    once = rng.normal(size=(200, 60))
    features, of_kind = np.repeat(once, 4, axis=0), np.repeat(np.arange(200) < 100, 4)
    apart, together = (
        fit_classifier(features, of_kind, sources, false_alarms=0.1)
        for sources in (np.arange(800), np.arange(800) // 4)
    )
    assert together["found"] < 0.25 < apart["found"]


@pytest.fixture(scope="module")
def inference():
    bundle = Bundle.find(ROOT / "bundles" / "lungs")
    return Model(bundle)._inference


def test_features_are_those_that_a_prediction_judges_by(folder, inference):
    paths = sorted(map(str, folder.iterdir()))
    rows = features_of(inference, paths * 2)
    assert rows.shape == (6, 320) and np.array_equal(rows[:3], rows[3:]) and not np.array_equal(rows[0], rows[1])
    image = torch.as_tensor(np.asarray(inference.read({"image": paths[1]})["image"]))
    np.testing.assert_allclose(rows[1], bottom_features(inference.network, image[None])[0], rtol=1e-4, atol=1e-5)
    fitted = {"weights": [0.01] * 320, "bias": 0.1, "threshold": 0.5}
    logit = 0.01 * rows[1].sum() + 0.1
    assert ImageClassifier(BottomFeatures(inference.network), fitted)(image)[0] == pytest.approx(
        1 / (1 + np.exp(-logit)), rel=1e-3
    )


def test_images_are_turned_as_asked(folder, tmp_path, inference):
    image = folder / "0.png"
    for name, degrees in (("left", 90), ("right", -90)):
        Image.open(image).rotate(degrees, expand=True).save(tmp_path / f"{name}.png")
    turned, *by_pillow = (
        features_of(inference, [str(path)], quarters)
        for path, quarters in ((image, 1), (tmp_path / "left.png", 0), (tmp_path / "right.png", 0))
    )
    off = [np.abs(turned - rows).max() / np.abs(turned).max() for rows in by_pillow]
    assert min(off) < 0.05 < max(off)


def test_a_folder_without_images_is_named(tmp_path):
    bundle = Bundle.find(ROOT / "bundles" / "lungs")
    with pytest.raises(DataError, match="has no image that lungs takes"):
        fit_frontal(bundle, bundle.weights, [tmp_path], [tmp_path])


def test_the_fit_goes_with_the_weights_and_decides(tmp_path, capsys):
    """On phantoms and noise: from the command to the check of a prediction."""
    data, bundle, rng = tmp_path / "data", tmp_path / "lungs", np.random.default_rng(0)
    draw_phantoms(data, patients=30, size=64, truth="lungs")
    shutil.copytree(ROOT / "bundles" / "lungs", bundle, ignore=shutil.ignore_patterns("cache", "phantoms", "eval"))
    (tmp_path / "others").mkdir()
    for number in range(22):
        noise = rng.integers(0, 255, (64, 64), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "others" / f"{number}.png")
    given = ["calibrate", str(bundle), "--dataset_dir", str(data), "--manifest", f"{data}/manifest.json"]
    given += ["--output", str(tmp_path / "eval")]
    assert main([*given, "--frontal", str(data / "images")]) == 1
    assert "give folders of both kinds of images" in capsys.readouterr().err
    assert main([*given, "--frontal", str(data / "images"), "--others", str(tmp_path / "others")]) == 0
    fitted = json.loads((bundle / "models" / "model.json").read_text())["classifier"]
    assert (fitted["images"], fitted["others"]) == (30, 22) and fitted["found"] > 0.9
    model = Model(bundle)
    phantom = model.predict(next((data / "images").iterdir())).check
    noise = model.predict(tmp_path / "others" / "0.png").check
    assert phantom["probability"] > fitted["threshold"] > noise["probability"] and not noise["frontal"]
