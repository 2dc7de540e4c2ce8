"""The random affine map, against SciPy."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from transforms import RandWarpPaird

RNG = np.random.default_rng(0)
ITEM = {
    "image": torch.from_numpy(RNG.random((1, 30, 20), np.float32)),
    "label": torch.from_numpy((RNG.random((1, 30, 20)) < 0.5).astype(np.uint8)),
}


def moved(seed=1, prob=1.0, **ranges):
    ranges = {"rotate": 0.0, "shear": 0.0, "scale": 0.0, "shift": 0.0} | ranges
    transform = RandWarpPaird(["image", "label"], prob, **ranges).set_random_state(seed)
    return transform, transform(ITEM)


def test_is_scipy_s_map_on_an_image_that_is_not_square():
    transform, result = moved(rotate=0.6, shear=0.3, scale=0.3, shift=0.2)
    position = np.indices((30, 20)).reshape(2, -1)
    centre = np.array([[14.5], [9.5]])
    offset = transform.offset[:, None] * np.array([[30], [20]])
    source = centre + transform.matrix @ (position - centre) + offset
    for key in ("image", "label"):
        expected = map_coordinates(ITEM[key][0].numpy().astype(float), source, order=1, mode="grid-constant")
        expected = expected.reshape(30, 20)
        if key == "image":
            np.testing.assert_allclose(result[key][0].numpy(), expected, atol=1e-4)
        else:
            clear = np.abs(expected - 0.5) > 1e-3
            np.testing.assert_array_equal(result[key][0].numpy()[clear], (expected >= 0.5)[clear])
    assert result["label"].dtype == torch.uint8 and result["image"].dtype == torch.float32


def test_no_range_changes_nothing_and_draws_stay_in_their_ranges():
    _, result = moved()
    torch.testing.assert_close(result["image"], ITEM["image"], atol=1e-5, rtol=0)
    assert torch.equal(result["label"], ITEM["label"])
    assert moved(prob=0.0, rotate=1.0)[1]["image"] is ITEM["image"]
    for seed in range(50):
        transform, _ = moved(seed, rotate=0.2, scale=0.15, shift=0.06)
        scale = np.sqrt(np.linalg.det(transform.matrix))
        angle = np.arctan2(transform.matrix[1, 0], transform.matrix[0, 0])
        assert np.exp(-0.15) <= scale <= np.exp(0.15) and abs(angle) <= 0.2 and np.abs(transform.offset).max() <= 0.06


def test_seed_decides():
    first, again, other = (moved(seed, rotate=0.5)[1]["image"] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
