"""The random gamma, beside MONAI's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import AdjustContrast

from transforms import RandContrastd


def test_is_monai_s_change_with_a_gamma_of_each_image():
    images = torch.rand(200, 1, 9, 7) * torch.linspace(0.3, 1.2, 200)[:, None, None, None] + 0.1
    transform = RandContrastd("image", 1.0, (0.6, 1.7)).set_random_state(0)
    result = transform({"image": images})["image"]
    for image, changed, gamma in zip(images, result, transform.gamma, strict=True):
        torch.testing.assert_close(changed, AdjustContrast(gamma)(image).as_tensor(), atol=1e-5, rtol=0)
    assert transform.gamma.min() >= 0.6 and transform.gamma.max() <= 1.7
    assert transform.gamma.mean() == pytest.approx(1.15, abs=0.09)  # uniform: four standard errors
    assert transform.gamma.std() == pytest.approx(1.1 / np.sqrt(12), abs=0.04)


def test_an_image_of_one_value_stays():
    flat = {"image": torch.full((2, 1, 4, 4), 0.4)}
    torch.testing.assert_close(RandContrastd("image", 1.0, (0.6, 1.7))(flat), flat)
