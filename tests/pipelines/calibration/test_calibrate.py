"""What a calibration leaves beside a model."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch

from networks import WeightsError, read_fitted
from pipelines.calibration.calibrate import calibrate
from pipelines.evaluation.pixels import count_pixels
from pipelines.resuming.saved_model import write_model
from tests.conftest import ROOT
from tests.pipelines.calibration.test_quality import simulated


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.pt"
    write_model({"weight": torch.ones(2)}, path, {"epoch": 3}, tmp_path / "model.json")
    return path, json.loads((tmp_path / "model.json").read_text())["sha256"]


def overconfident():
    """Pixels of which 4 in 5 are inside where the model says 16 in 17: at temperature 2 it would be right."""
    return count_pixels(np.full(1000, 16 / 17), np.arange(1000) < 800)


def test_temperature_and_quality_are_written_and_what_was_there_stays(model, caplog):
    path, sha256 = model
    caplog.set_level(logging.INFO)
    calibrate(
        path, sha256, overconfident(), simulated(np.random.default_rng(0), 40), 0.5, "phantoms, validation", ["ab12"]
    )
    about = json.loads(path.with_suffix(".json").read_text())
    assert about["temperature"] == pytest.approx(2, abs=0.01) and about["epoch"] == 3 and about["sha256"] == sha256
    assert (
        about["calibrated_on"] == "phantoms, validation"
        and about["calibrated_images"] == ["ab12"]
        and about["quality"]["cases"]["fitted"] == 20
    )
    assert read_fitted(path)["quality"] == about["quality"]
    assert "fitted on phantoms, validation" in caplog.text
    assert "expected calibration error 0.1412 before, 0.0000 after" in caplog.text


def test_with_too_few_cases_there_is_a_temperature_alone(model, caplog):
    path, sha256 = model
    cases = simulated(np.random.default_rng(0), 40)
    calibrate(path, sha256, overconfident(), cases, 0.5, "many", [])
    calibrate(path, sha256, overconfident(), cases[:16], 0.5, "few", [])
    assert read_fitted(path).keys() == {"temperature", "calibrated_on", "calibrated_images"}
    assert "no Dice will be predicted: 16 cases of 16 patients" in caplog.text


def test_weights_that_were_replaced_meanwhile_get_nothing(model):
    path, sha256 = model
    write_model({"weight": torch.zeros(2)}, path, {"epoch": 4}, path.with_suffix(".json"))
    with pytest.raises(WeightsError, match="was replaced meanwhile"):
        calibrate(path, sha256, overconfident(), simulated(np.random.default_rng(0), 40), 0.5, "data", [])
    assert read_fitted(path) == {}


@pytest.mark.parametrize(("bundle", "fitted"), [("lungs", {"temperature", "quality"}), ("pneumonia", {"temperature"})])
def test_shipped_weights_are_calibrated(bundle, fitted):
    """Weights that take their place must be calibrated too: what was fitted to others is not read."""
    assert read_fitted(ROOT / "bundles" / bundle / "models" / "model.pt").keys() >= fitted
