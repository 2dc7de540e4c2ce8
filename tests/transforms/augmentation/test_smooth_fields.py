"""Fields from control points, beside torch's own interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from transforms.augmentation.smooth_fields import smooth_fields


@pytest.mark.parametrize("align_corners", [False, True])
def test_is_torch_s_bicubic_interpolation(align_corners):
    points = np.random.default_rng(0).uniform(-1, 1, (3, 2, 5, 5))
    fields = smooth_fields(points, torch.zeros(3, 1, 40, 23), align_corners)
    expected = interpolate(torch.from_numpy(points).float(), (40, 23), mode="bicubic", align_corners=align_corners)
    assert fields.dtype == torch.float32
    torch.testing.assert_close(fields, expected, atol=1e-5, rtol=0)
