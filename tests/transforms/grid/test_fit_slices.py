"""Slices brought to one size and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Invertd

from transforms import FitSlicesd


@pytest.mark.parametrize("native", [(12, 8), (40, 30), (32, 32)])
def test_labels_come_back_without_a_shift(native):
    """In the network's grid a voxel says from which column it is; brought back, none may say another's."""
    size = 32
    fit = FitSlicesd("image", size, "trilinear")
    item = fit({"image": MetaTensor(torch.zeros(1, *native, 3))})
    assert item["image"].shape == (1, size, size, 3)
    scale, width = size / max(native), round(native[1] * size / max(native))
    start = (size - width) // 2  # of the padding before
    columns = (torch.arange(size) + 0.5) / scale  # where a pixel's centre lies in the image's own grid
    rows = (torch.arange(size) - start + 0.5) / scale
    for axis, places in ((0, columns), (1, rows)):
        ramp = places[:, None, None] if axis == 0 else places[None, :, None]
        pred = MetaTensor(ramp.expand(size, size, 3)[None].clone(), meta=dict(item["image"].meta))
        back = Invertd("pred", fit, orig_keys="image", nearest_interp=True)({**item, "pred": pred})["pred"]
        assert back.shape == (1, *native, 3)
        found = np.asarray(back[0, :, :, 1].mean(dim=1 - axis))
        centres = np.arange(native[axis]) + 0.5
        # half a pixel of the network's grid is lost to choosing one, but not to one side
        assert np.abs(found - centres).max() <= 0.5 / scale + 0.01 and abs((found - centres).mean()) < 0.13


@pytest.mark.parametrize(("shape", "inner"), [((20, 10), (40, 20)), ((60, 80), (30, 40)), ((40, 40), (40, 40))])
def test_fit_slices_keeps_the_aspect_ratio_and_comes_back(shape, inner):
    image = MetaTensor(torch.rand(1, *shape, 3))
    label = MetaTensor(torch.ones(1, *shape, 3, dtype=torch.uint8))
    fit = FitSlicesd(["image", "label"], size=40, mode=["trilinear", "nearest-exact"])
    fitted = fit({"image": image, "label": label})
    assert fitted["image"].shape == fitted["label"].shape == (1, 40, 40, 3)
    assert int(fitted["label"].sum()) == inner[0] * inner[1] * 3  # the rest is padding
    back = fit.inverse(fitted)
    assert back["image"].shape == (1, *shape, 3) and bool(back["label"].all())
    if shape == inner:
        assert torch.equal(back["image"], image)
