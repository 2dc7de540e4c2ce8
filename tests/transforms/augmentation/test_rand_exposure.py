"""How exposure is changed: the order of grey values, and the formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.transforms.augmentation.conftest import COLUMNS, drawn
from transforms import RandExposured


def test_exposure_keeps_the_order_of_grey_values_unless_inverted():
    ramp = {"image": torch.linspace(0, 1, 64).repeat(5, 1, COLUMNS, 1)}
    for result in drawn(RandExposured("image", prob=1.0, gamma=0.7, window=0.2, gain=0.0), ramp):
        values = result["image"][:, 0, 0]
        assert (values.diff() >= 0).all() and values.min() >= 0 and values.max() <= 1
    (inverted,) = drawn(RandExposured("image", prob=0.0, gamma=0, window=0, gain=0, invert=1.0), ramp, [0])
    torch.testing.assert_close(inverted["image"], 1 - ramp["image"])


def test_exposure_is_the_formula_of_its_docstring():
    flat = {"image": torch.full((6, 1, 10, 10), 0.5)}
    transform = RandExposured("image", prob=0.7, gamma=0.7, window=0.2, gain=0.0).set_random_state(5)
    shown = transform(flat)["image"]
    assert 0 < len(transform.rows) < 6
    for row, low, high, exponent in zip(transform.rows, transform.low, transform.high, transform.exponent, strict=True):
        expected = np.clip((0.5 - low) / (high - low), 0, 1) ** exponent
        np.testing.assert_allclose(shown[row].numpy(), expected, rtol=1e-5)
    left = np.setdiff1d(np.arange(6), transform.rows)
    assert (shown[left] == 0.5).all()


def test_parameters_are_uniform_in_their_ranges():
    transform = RandExposured("image", prob=0.8, gamma=0.7, window=0.2, gain=0.35, invert=0.15).set_random_state(0)
    transform.randomize(4000)
    assert len(transform.rows) == pytest.approx(3200, abs=100) and len(transform.inverted) == pytest.approx(600, abs=90)
    ranges = ((np.log(transform.exponent), 0.7), (transform.low, 0.2), (transform.high - 1, 0.2))
    for values, most in (*ranges, (np.log(transform.field), 0.35)):
        assert np.abs(values).max() <= most + 1e-9
        assert values.mean() == pytest.approx(0, abs=4 * most / 3200**0.5)
        assert values.std() == pytest.approx(most / 3**0.5, rel=0.05)


def test_gain_is_smooth_and_within_its_range():
    flat = {"image": torch.full((2, 1, COLUMNS, 48), 0.2)}
    for result in drawn(RandExposured("image", prob=1.0, gamma=0.0, window=0.0, gain=0.3), flat):
        for gain in result["image"][:, 0] / 0.2:
            assert gain.std() > 0.01 and max(gain.diff(dim=0).abs().max(), gain.diff(dim=1).abs().max()) < 0.1
            assert np.exp(-0.3) / 1.2 < gain.min() and gain.max() < np.exp(0.3) * 1.2  # bicubic overshoots a little
