"""The random blur, beside MONAI's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.layers import GaussianFilter

from transforms import RandBlurd
from transforms.augmentation.rand_blur import gaussian_blur


def test_is_monai_s_filter_with_a_width_of_each_image_and_axis():
    images = torch.rand(4, 1, 30, 20)
    sigmas = np.array([[0.3, 1.5], [1.5, 0.3], [0.9, 0.9], [1.2, 0.4]])
    blurred = gaussian_blur(images, sigmas)
    for image, result, sigma in zip(images, blurred, sigmas, strict=True):
        expected = GaussianFilter(2, sigma.tolist())(image[None])[0]
        torch.testing.assert_close(result, expected, atol=3e-4, rtol=0)  # MONAI cuts at four deviations of each


def test_widths_are_uniform_along_both_axes():
    transform = RandBlurd("image", 1.0, (0.4, 1.2)).set_random_state(0)
    transform.randomize(2000)
    for along in transform.sigmas.T:
        assert along.min() >= 0.4 and along.max() <= 1.2
        assert along.mean() == pytest.approx(0.8, abs=0.02) and along.std() == pytest.approx(0.8 / 12**0.5, abs=0.01)
    assert abs(np.corrcoef(transform.sigmas.T)[0, 1]) < 0.1
