"""Integers and the value of each: percentiles and resampling against independent libraries, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image
from torch.nn.functional import interpolate

from transforms.grid.levels import LEVELS, grey_levels, percentiles_of, resample

RNG = np.random.default_rng(0)
TABLES = {
    "rising": np.linspace(0, 1, 4096, dtype=np.float32),
    "falling": np.linspace(1, 0, 4096, dtype=np.float32),
    "clipped": np.linspace(-3, 4, 4096, dtype=np.float32).clip(0, 1),
    "in any order": RNG.random(4096, np.float32),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("shape", [(400, 300), (7, 5), (1, 1)])
def test_percentiles_are_those_of_numpy_on_the_values(kind, shape):
    integers = RNG.normal(2000, 700, shape).clip(0, 4095).astype(np.uint16)
    wanted = (0, 0.5, 37.3, 50, 99.5, 100)
    expected = np.percentile(TABLES[kind][integers].astype(float), wanted)
    np.testing.assert_allclose(percentiles_of(integers, TABLES[kind], wanted), expected, rtol=1e-12, atol=1e-12)


def test_percentile_between_two_values_by_hand():
    integers = np.array([[0, 0, 1, 3]], np.uint8)  # the values 5, 10, 20, 20 in order
    levels = np.array([20, 10, 99, 5], np.float32)
    assert percentiles_of(integers, levels, (0, 50, 75, 100)).tolist() == [5, 15, 20, 20]
    assert percentiles_of(integers, levels, (20,)).tolist() == pytest.approx([8])  # the place 0.6, from 5 to 10


@pytest.mark.parametrize(("shape", "smaller"), [((64, 48), (32, 24)), ((131, 97), (40, 30)), ((20, 8), (50, 20))])
def test_resampling_is_that_of_torch(shape, smaller):
    """Where no squares are taken together before."""
    integers = RNG.integers(0, 256, shape).astype(np.uint8)
    levels = RNG.random(256, np.float32)
    theirs = interpolate(torch.from_numpy(levels[integers])[None, None], smaller, mode="bilinear", antialias=True)
    np.testing.assert_allclose(resample(integers, levels, smaller), theirs[0, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "smaller"), [((700, 640), (70, 64)), ((1283, 1001), (64, 50)), ((900, 200), (32, 7))]
)
def test_large_images_are_those_of_pillow_taken_whole(shape, smaller):
    """Here they go through in strips."""
    integers = RNG.integers(0, 4096, shape).astype(np.int16)
    whole = Image.fromarray(TABLES["falling"][integers])
    theirs = whole.resize(smaller[::-1], Image.Resampling.BILINEAR, reducing_gap=3)
    np.testing.assert_allclose(resample(integers, TABLES["falling"], smaller), np.asarray(theirs), atol=1e-6)


def test_mean_under_the_triangle_by_hand():
    """Two pixels for one: weights 1, 3, 3, 1 of 8; at the border 3, 3, 1 of 7, and nothing from beyond it."""
    levels = np.arange(256, dtype=np.float32)
    row = np.array([[8, 16, 56, 0, 24, 200]], np.uint8)
    expected = [[(3 * 8 + 3 * 16 + 56) / 7, (16 + 3 * 56 + 0 + 24) / 8, (0 + 3 * 24 + 3 * 200) / 7]]
    np.testing.assert_allclose(resample(row, levels, (1, 3)), expected, rtol=1e-6)


@pytest.mark.parametrize("size", [(1024, 1024), (3001, 2003), (300, 90)])
def test_borders_stay_as_bright_as_they_are(size):
    levels = np.array([0.1, 0.75], np.float32)
    smaller = tuple(round(length * 256 / max(size)) for length in size)
    np.testing.assert_allclose(resample(np.ones(size, np.uint8), levels, smaller), 0.75, atol=1e-6)


@pytest.mark.parametrize("size", [1024, 1777, 3001])
def test_nothing_is_moved(size):
    """A slope keeps its values in the middle of each pixel."""
    slope = np.tile(np.arange(size, dtype=np.uint16)[:, None], (1, 256))
    smaller = resample(slope, np.arange(size, dtype=np.float32), (128, 128))
    middles = (np.arange(128) + 0.5) * size / 128 - 0.5
    np.testing.assert_allclose(smaller[2:-2, 60], middles[2:-2], atol=size / 1000)


def test_values_come_from_the_metadata_or_are_the_integers_themselves():
    integers = torch.tensor([[[0, 2], [1, 1]]], dtype=torch.uint8)
    levels = np.array([0.25, 0.5, 1], np.float32)
    for image in (integers, integers.float()):  # LoadImaged makes float32 of them where it is not told otherwise
        found, values = grey_levels(MetaTensor(image, meta={LEVELS: levels}))
        assert values[found].tolist() == [[0.25, 1], [0.5, 0.5]]
    for image in (integers, integers.to(torch.int16) - 5):
        found, values = grey_levels(MetaTensor(image))
        assert found.min() >= 0 and values[found].tolist() == image[0].tolist()


@pytest.mark.parametrize("scale", [1, 1e-3, 4000])
def test_floating_point_values_keep_16_bits(scale):
    values = (RNG.random((50, 40), np.float32) - 0.3) * scale
    found, levels = grey_levels(MetaTensor(torch.from_numpy(values)[None]))
    assert found.dtype == np.uint16
    np.testing.assert_allclose(levels[found], values, atol=scale / 131070 * 1.01)
    found, levels = grey_levels(MetaTensor(torch.full((1, 4, 4), 0.5)))
    np.testing.assert_allclose(levels[found], 0.5)
