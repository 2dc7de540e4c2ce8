"""How exposure is changed: the order of grey values, and the formula."""

from __future__ import annotations

import numpy as np
import torch

from tests.transforms.augmentation.conftest import COLUMNS, drawn
from transforms import RandExposured


def test_exposure_keeps_the_order_of_grey_values_unless_inverted():
    ramp = {"image": torch.linspace(0, 1, 64).repeat(COLUMNS, 1)[None]}
    for result in drawn(RandExposured("image", prob=1.0, gamma=0.7, window=0.2, gain=0.0), ramp):
        values = result["image"][0, 0]
        assert (values.diff() >= 0).all() and values.min() >= 0 and values.max() <= 1
    (inverted,) = drawn(RandExposured("image", prob=0.0, gamma=0, window=0, gain=0, invert=1.0), ramp, [0])
    torch.testing.assert_close(inverted["image"], 1 - ramp["image"])


def test_exposure_is_the_formula_of_its_docstring():
    flat = {"image": torch.full((1, 10, 10), 0.5)}
    transform = RandExposured("image", prob=1.0, gamma=0.7, window=0.2, gain=0.0).set_random_state(5)
    shown = transform(flat)["image"]
    expected = np.clip((0.5 - transform.low) / (transform.high - transform.low), 0, 1) ** transform.exponent
    np.testing.assert_allclose(shown.numpy(), expected, rtol=1e-5)


def test_seed_decides(item):
    transform = RandExposured("image", 1.0, 0.7, 0.2, 0.3, 0.5)
    first, again, other = (result["image"] for result in drawn(transform, item, [1, 1, 2]))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_gain_is_smooth_and_within_its_range():
    flat = {"image": torch.full((1, COLUMNS, 48), 0.2)}
    for result in drawn(RandExposured("image", prob=1.0, gamma=0.0, window=0.0, gain=0.3), flat, range(20)):
        gain = result["image"][0] / 0.2
        assert gain.std() > 0.01 and max(gain.diff(dim=0).abs().max(), gain.diff(dim=1).abs().max()) < 0.1
        assert np.exp(-0.3) / 1.2 < gain.min() and gain.max() < np.exp(0.3) * 1.2  # bicubic overshoots a little
