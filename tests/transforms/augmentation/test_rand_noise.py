"""The noise: how strong it is, and that it is Gaussian."""

from __future__ import annotations

import pytest
import torch

from transforms import RandNoised


def test_noise_is_gaussian_of_a_strength_drawn_for_each_image():
    images = torch.full((300, 1, 20, 20), 0.5)
    transform = RandNoised("image", 1.0, std=0.06).set_random_state(0)
    noise = transform({"image": images})["image"] - 0.5
    strength = noise.flatten(1).std(1)
    torch.testing.assert_close(strength, torch.from_numpy(transform.stds).float(), atol=0.01, rtol=0)
    assert transform.stds.mean() == pytest.approx(0.03, abs=0.004)  # uniform from 0
    assert transform.stds.std() == pytest.approx(0.06 / 12**0.5, abs=0.003)
    standard = (noise / torch.from_numpy(transform.stds).float()[:, None, None, None]).flatten()
    assert abs(standard.mean()) < 0.02 and (standard.abs() < 1).float().mean() == pytest.approx(0.683, abs=0.01)


def test_what_else_draws_random_numbers_is_not_disturbed():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    RandNoised("image", 1.0, std=0.1)({"image": torch.zeros(2, 1, 4, 4)})
    assert torch.equal(torch.rand(3), expected)
