"""Radiographs on the network's grid and back: grey values, shapes, masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Resize, ScaleIntensityRangePercentiles, SpatialPad
from skimage.transform import resize

from transforms import FitRadiographd

FIT = {"size": 32, "percentiles": (0.5, 99.5)}


def image_of(values):
    return MetaTensor(torch.as_tensor(np.asarray(values, np.float32))[None])


def smooth(columns, rows):
    x, y = np.meshgrid(np.linspace(0, 6, columns), np.linspace(0, 4, rows), indexing="ij")
    return np.sin(x) * np.cos(y) * 40 + 200


@pytest.mark.parametrize("shape", [(128, 64), (50, 200), (20, 20), (90, 2)])
def test_the_longer_side_fills_the_square_and_the_image_lies_in_the_middle(shape):
    fitted = FitRadiographd("image", mode="bilinear", **FIT)({"image": image_of(smooth(*shape))})["image"][0]
    assert fitted.shape == (32, 32) and fitted.dtype == torch.float32
    inside = [max(1, round(length * 32 / max(shape))) for length in shape]
    before = [(32 - length) // 2 for length in inside]
    low, high = np.percentile(smooth(*shape), FIT["percentiles"])
    scaled = np.clip((smooth(*shape) - low) / (high - low), 0, 1)
    expected = resize(scaled, inside, order=1, anti_aliasing=max(shape) > 32)  # an independent resampling
    middle = fitted[before[0] : before[0] + inside[0], before[1] : before[1] + inside[1]]
    inner = tuple(slice(3, -3) if length > 6 else slice(None) for length in inside)  # MONAI smooths 0 in at borders
    assert np.abs(middle.numpy() - expected)[inner].max() < (0.02 if min(inside) > 1 else 0.12)
    outside = torch.ones(32, 32, dtype=torch.bool)
    outside[before[0] : before[0] + inside[0], before[1] : before[1] + inside[1]] = False
    assert (fitted[outside] == 0).all()


def test_grey_values_are_those_of_monais_own_transforms():
    image = image_of(smooth(100, 70))
    scaled = ScaleIntensityRangePercentiles(0.5, 99.5, 0, 1, clip=True)(image)
    resized = Resize(32, size_mode="longest", mode="bilinear", anti_aliasing=True)(scaled)
    fitted = FitRadiographd("image", mode="bilinear", **FIT)({"image": image})["image"]
    assert torch.equal(fitted.as_tensor(), SpatialPad((32, 32))(resized).as_tensor())


def test_masks_keep_their_values_and_come_back_in_their_own_grid():
    mask = np.zeros((63, 96), np.float32)
    mask[15:48, 24:60] = 1
    data = {"image": image_of(smooth(63, 96)), "label": image_of(mask)}
    fit = Compose([FitRadiographd(["image", "label"], mode=["bilinear", "nearest-exact"], **FIT)])
    fitted = fit(data)
    assert set(fitted["label"].unique().tolist()) == {0, 1}
    fitted["pred"] = fitted["label"].clone()
    back = Invertd("pred", fit, orig_keys="image", nearest_interp=True)(fitted)["pred"]
    assert back.shape == (1, 63, 96)
    assert np.array_equal(back[0].numpy(), mask)  # its edges lie on those of the small pixels


def test_probabilities_come_back_smoothly():
    image = image_of(smooth(64, 128))
    fit = Compose([FitRadiographd("image", mode="bilinear", **FIT)])
    fitted = fit({"image": image})
    fitted["pred"] = fitted["image"].clone()
    back = Invertd("pred", fit, orig_keys="image", nearest_interp=False)(fitted)["pred"]
    low, high = np.percentile(smooth(64, 128), FIT["percentiles"])
    assert back.shape == image.shape
    assert np.abs(back[0].numpy() - np.clip((smooth(64, 128) - low) / (high - low), 0, 1)).max() < 0.15
