"""Predicted Dice: how often its intervals hold, by simulation, and what it says of masks unlike those it saw."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from pipelines.calibration.quality import FEATURES, LEAST, fit_quality
from transforms import DataError, mask_features, predict_dice


def simulated(rng, cases):
    """Cases whose error is the one that probabilities expect, times what is skewed and known."""
    gap = rng.uniform(0.01, 0.06, cases)
    return pd.DataFrame(
        {
            "dice": 1 - 1.5 * gap * rng.lognormal(0, 0.4, cases),
            "expected_dice": 1 - gap,
            "edge_entropy": rng.normal(3, 0.5, cases),
            "area": rng.normal(0.25, 0.04, cases),
            "symmetry": rng.normal(0.8, 0.05, cases),
            "patient": range(cases),
        }
    )


def test_intervals_hold_as_often_as_they_claim():
    """Of 40 cases 20 say how far off the fit is: 19 of 21 hold on average, and one in 21 is called outside at most."""
    rng, held, outside = np.random.default_rng(0), [], []
    for _ in range(150):
        quality = fit_quality(simulated(rng, 40), 0.5, seed=int(rng.integers(1000)))
        for case in simulated(rng, 60).to_dict("records"):
            found = predict_dice(case, quality)
            outside.append(found["outside"])
            if not found["outside"]:
                held.append(found["interval"][0] <= case["dice"] <= found["interval"][1])
    assert 0.88 < np.mean(held) < 0.93
    assert 0.01 < np.mean(outside) < 1 / 21 + 0.015


def test_the_line_is_found_whatever_one_outlier_says():
    cases = simulated(np.random.default_rng(1), 200)
    cases.loc[:20, "dice"] = 0.1
    quality = fit_quality(cases, 0.5)
    found = predict_dice({"expected_dice": 0.97, "edge_entropy": 3, "area": 0.25, "symmetry": 0.8}, quality)
    assert found["predicted_dice"] == pytest.approx(1 - 0.045, abs=0.01)
    assert quality["cases"] == {"fitted": 100, "calibrated": 100} and quality["threshold"] == 0.5


def blob(rng, softness, radius):
    x, y = np.mgrid[:64, :64]
    mask = np.hypot(x - rng.uniform(30, 34), y - 32) < radius
    return mask_features(gaussian_filter(mask.astype(np.float32), softness), 0.5)


def test_a_shift_is_called_outside():
    """Blurred probabilities and larger masks than any that was seen."""
    rng = np.random.default_rng(2)
    seen = [blob(rng, rng.uniform(1, 2), rng.uniform(14, 18)) for _ in range(60)]
    cases = pd.DataFrame(seen).assign(patient=range(60))
    quality = fit_quality(cases.assign(dice=cases["expected_dice"] - rng.uniform(0, 0.02, 60)), 0.5)
    alike = [predict_dice(blob(rng, rng.uniform(1, 2), rng.uniform(14, 18)), quality)["outside"] for _ in range(60)]
    assert np.mean(alike) < 0.15
    for softness, radius, name in [(5, 16, "edge_entropy"), (1.5, 28, "area")]:
        found = predict_dice(blob(rng, softness, radius), quality)
        assert found["outside"] and any(reason.startswith(f"{name} is") for reason in found["reasons"])


def test_too_few_cases_are_refused():
    cases = simulated(np.random.default_rng(3), LEAST)
    fit_quality(cases, 0.5)
    with pytest.raises(DataError, match="19 cases of 19 patients have a truth and a mask.*needs 20 of as many"):
        fit_quality(cases.assign(dice=cases["dice"].where(cases["patient"] > 0)), 0.5)
    with pytest.raises(DataError, match="20 cases of 10 patients"):
        fit_quality(cases.assign(patient=cases["patient"] // 2), 0.5)
    assert set(FEATURES) == set(mask_features(np.zeros((3, 3)), 0.5))
