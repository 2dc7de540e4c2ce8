"""Radiographs on the network's grid and back: grey values, shapes, masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, LoadImaged, Resize, ScaleIntensityRangePercentiles, SpatialPad
from skimage.transform import resize
from torch.nn.functional import interpolate

from transforms import FitRadiographd, RadiographReader
from transforms.grid.levels import LEVELS

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
    inner = tuple(slice(3, -3) if length > 6 else slice(None) for length in inside)  # borders differ
    assert np.abs(middle.numpy() - expected)[inner].max() < (0.02 if min(inside) > 1 else 0.12)
    outside = torch.ones(32, 32, dtype=torch.bool)
    outside[before[0] : before[0] + inside[0], before[1] : before[1] + inside[1]] = False
    assert (fitted[outside] == 0).all()


def test_grey_values_are_those_of_monais_percentiles_in_torchs_resampling():
    """And not in MONAI's own Resize, whose smoothing takes what lies beyond the border for black."""
    image = image_of(smooth(100, 70))
    scaled = ScaleIntensityRangePercentiles(0.5, 99.5, 0, 1, clip=True)(image)
    resized = interpolate(scaled.as_tensor()[None], (32, 22), mode="bilinear", antialias=True)[0]
    fitted = FitRadiographd("image", mode="bilinear", **FIT)({"image": image})["image"]
    expected = SpatialPad((32, 32))(resized).as_tensor()
    np.testing.assert_allclose(fitted.as_tensor(), expected, atol=2e-5)  # of 16 bits
    theirs = Resize(32, size_mode="longest", mode="bilinear", anti_aliasing=True)(scaled)
    assert fitted.shape[1:] == (32, 32) and torch.equal(fitted.affine, SpatialPad((32, 32))(theirs).affine)


@pytest.mark.parametrize("tags", [{}, {"PhotometricInterpretation": "MONOCHROME1"}, {"VOILUTFunction": "SIGMOID"}])
def test_integers_are_fitted_as_their_values(write_dicom, tags):
    pixels = np.random.default_rng(0).integers(0, 4096, (90, 70)).astype(np.uint16)
    path = write_dicom(pixels, bits=12, WindowCenter=1800, WindowWidth=900, **tags)
    fitted = {}
    for indexed, dtype in ((False, np.float32), (True, None), (True, np.float32)):
        load = LoadImaged("image", RadiographReader(indexed=indexed), ensure_channel_first=True, dtype=dtype)
        fit = Compose([load, FitRadiographd("image", mode="bilinear", **FIT)])
        fitted[indexed, dtype] = fit({"image": path})["image"]
        assert LEVELS not in fitted[indexed, dtype].meta
        assert fit.inverse({"image": fitted[indexed, dtype]})["image"].shape == (1, 70, 90)
    np.testing.assert_allclose(fitted[True, None], fitted[False, np.float32], atol=2e-5)
    assert torch.equal(fitted[True, None].as_tensor(), fitted[True, np.float32].as_tensor())


def test_what_is_of_one_value_but_for_a_few_pixels_stays_between_0_and_1():
    values = np.zeros((40, 30))
    values[3, 4] = 1
    for image in (values, 1 - values):
        fitted = FitRadiographd("image", mode="bilinear", **FIT)({"image": image_of(image)})["image"]
        assert fitted.min() >= 0 and fitted.max() <= 1


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
