"""How far from the images of a calibration others may be: of the same kind, and of another."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipelines.calibration.likeness import fit_likeness
from transforms import distance


def test_one_in_twenty_of_the_same_kind_is_called_unlike_and_nearly_all_of_another_kind():
    rng = np.random.default_rng(0)
    kind = rng.normal(size=(40, 40))  # features go together, as those of a network do
    same, other = [], []
    for _ in range(40):
        fitted = fit_likeness(rng.normal(size=(60, 40)) @ kind, np.arange(60))
        same.append((distance(rng.normal(size=(200, 40)) @ kind, fitted) > fitted["limit"]).mean())
        other.append((distance(rng.normal(1.5, 1, size=(200, 40)) @ kind, fitted) > fitted["limit"]).mean())
    assert 0.02 < np.mean(same) < 0.09
    assert np.mean(other) > 0.8


def test_images_of_one_patient_are_judged_by_other_patients():
    """Each patient's two images are nearly equal, and far from those of others: as a single image would be."""
    rng = np.random.default_rng(1)
    single = rng.normal(size=(40, 8))
    twice = np.repeat(single, 2, axis=0)
    limits = [fit_likeness(*data)["limit"] for data in ((single, np.arange(40)), (twice, np.repeat(np.arange(40), 2)))]
    assert limits[0] == pytest.approx(limits[1], rel=0.25)


def test_what_is_constant_does_not_divide_by_nothing_and_json_holds_it():
    bottom = np.ones((20, 3), np.float32)
    bottom[:, 0] = np.arange(20)
    fitted = json.loads(json.dumps(fit_likeness(bottom, np.arange(20))))
    assert fitted["mean"] == pytest.approx([9.5, 1, 1]) and fitted["scale"] == pytest.approx(
        [np.std(range(20)), 1e-3, 1e-3]
    )
    assert distance([9.5, 1, 1.01], fitted) == pytest.approx(100 / 3)
