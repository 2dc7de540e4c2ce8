"""What all transforms of batches have in common."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.transforms.augmentation.conftest import drawn
from transforms import RandBlurd, RandClutterd, RandExposured, RandNoised, RandOpacitiesd, RandWarpd
from transforms.augmentation.batch import power

ALL = {
    "blur": RandBlurd("image", 0.5, (0.3, 1.5)),
    "clutter": RandClutterd("image", prob=0.3),
    "exposure": RandExposured("image", 0.5, 0.7, 0.2, 0.3, 0.3),
    "noise": RandNoised("image", 0.5, 0.1),
    "opacities": RandOpacitiesd("image", prob=0.5),
    "warp": RandWarpd(["image", "label"], 0.5, 0.5, 0.3, 0.1, 0.3, 0.2, 0.08, 0.03),
}
each = pytest.mark.parametrize("transform", ALL.values(), ids=ALL.keys())


@pytest.fixture
def large(item):
    """A batch of 24 images with a little structure."""
    texture = torch.rand(24, 1, 80, 64, generator=torch.Generator().manual_seed(0))
    item = {key: value[:1].expand(24, -1, -1, -1) for key, value in item.items()}
    return {"image": item["image"] * (0.9 + 0.1 * texture), "label": item["label"].clone()}


@each
def test_seed_decides_and_each_image_is_changed_in_its_own_way(transform, large):
    same = {"image": large["image"][:1].repeat(24, 1, 1, 1), "label": large["label"]}
    first, again, other = (result["image"] for result in drawn(transform, same, [1, 1, 2]))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len({image.numpy().tobytes() for image in first}) > 6


@each
def test_what_is_given_is_not_written_into_and_types_stay(transform, large):
    """It may be shared, as a row of the cache is."""
    before = {key: value.clone() for key, value in large.items()}
    for result in drawn(transform, large, range(3)):
        assert all(torch.equal(large[key], value) for key, value in before.items())
        assert all(result[key].dtype == large[key].dtype for key in large)
        assert all(result[key].shape == large[key].shape for key in large)


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("clutter", "warp", "exposure")])
def test_share_of_changed_images_is_the_probability(name, large):
    changed = [
        (result["image"] != large["image"]).flatten(1).any(1).float().mean()
        for result in drawn(ALL[name], large, range(25))
    ]
    assert np.mean(changed) == pytest.approx(0.5, abs=4 * 0.5 / 600**0.5)  # four standard errors of 600 images


@each
def test_nothing_changes_at_probability_zero(transform, large):
    before = transform.prob
    transform.prob = 0.0
    others = {name: getattr(transform, name) for name in ("invert", "mirror") if hasattr(transform, name)}
    vars(transform).update(dict.fromkeys(others, 0.0))
    try:
        for result in drawn(transform, large, range(3)):
            torch.testing.assert_close(result, large, atol=2e-5, rtol=0)
    finally:
        vars(transform).update({"prob": before, **others})


def test_power_is_pow():
    values, exponents = torch.rand(3, 1, 5, 5), torch.tensor([0.5, 1.0, 1.9])[:, None, None, None]
    values[0, 0, 0, 0] = 0
    torch.testing.assert_close(power(values.clone(), exponents), values**exponents, atol=1e-6, rtol=1e-5)
