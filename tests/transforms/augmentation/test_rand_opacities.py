"""Disease painted into lungs: what it may change and what it must not, and how often what is painted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.transforms.augmentation.conftest import drawn
from transforms import RandOpacitiesd
from transforms.augmentation.rand_opacities import _brightness_of_tissue, _soft


def test_opacities_brighten_lungs_alone_and_not_beyond_the_tissue(item):
    changed = 0
    far = torch.nn.functional.max_pool2d(item["label"].float(), 11, stride=1, padding=5) == 0
    for result in drawn(RandOpacitiesd("image", prob=1.0), item):
        assert result["label"] is item["label"]  # what is opaque is still lung
        difference = result["image"] - item["image"]
        assert difference[far].abs().max() == 0
        assert difference.min() >= 0 and result["image"].max() <= 0.8 + 0.35
        changed += int((difference.flatten(1).amax(1) > 0.1).sum())
    assert changed > 45  # of 60


def test_opacities_leave_images_without_lungs_and_those_of_lungs_alone_as_they_are(item):
    label = item["label"].clone()
    label[0], label[1] = 0, 1
    for result in drawn(RandOpacitiesd("image", prob=1.0), {**item, "label": label}):
        assert torch.equal(result["image"][:2], item["image"][:2])
        assert result["image"].isfinite().all() and not torch.equal(result["image"][2], item["image"][2])


def test_what_is_painted_is_distributed_as_it_says():
    transform = RandOpacitiesd("image", prob=1.0).set_random_state(0)
    transform.randomize(4000)
    shares = [np.mean(transform.kind == kind) for kind in ("consolidation", "haze", "effusion")]
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.03)
    assert [np.mean(transform.side == side) for side in ("left", "right", "both")] == pytest.approx(
        [1 / 3] * 3, abs=0.03
    )
    ellipses = transform.present.sum(axis=1)
    assert [np.mean(ellipses == number) for number in (1, 2, 3, 4)] == pytest.approx([0.25] * 4, abs=0.03)
    for values, low, high in (
        (transform.density, 0.35, 1),
        (transform.level, -0.3, 0.6),
        (transform.radii, 0.08, 0.42),
    ):
        assert (
            low <= values.min() and values.max() <= high and values.mean() == pytest.approx((low + high) / 2, abs=0.01)
        )


def test_centres_are_pixels_of_the_lungs_each_alike_probable():
    """A small ellipse is strongest at its centre: where it is, over many draws, is all over the lung alone."""
    label = torch.zeros(500, 1, 20, 30, dtype=torch.uint8)
    label[:, :, 4:8, 10:20] = 1  # 40 pixels
    transform = RandOpacitiesd("image", prob=1.0).set_random_state(0)
    transform.randomize(500)
    transform.present[:] = [True, False, False, False]
    transform.radii[:] = 1e-3
    x, y = torch.linspace(-1, 1, 20), torch.linspace(-1, 1, 30)
    distance = transform._distance(np.arange(500), label[:, 0] > 0, x, y)
    place = distance.flatten(1).argmin(1)
    columns, rows = (place // 30).numpy(), (place % 30).numpy()
    assert set(columns) == set(range(4, 8)) and set(rows) == set(range(10, 20))
    counts = np.bincount((columns - 4) * 10 + rows - 10, minlength=40)
    assert ((counts - 12.5) ** 2 / 12.5).sum() < 73  # chi-squared of 39 degrees of freedom: one in a thousand


def test_an_effusion_lies_below_and_haze_on_its_side(item):
    transform = RandOpacitiesd("image", prob=1.0).set_random_state(0)
    transform.randomize(3)
    transform.kind[:] = ["effusion", "haze", "haze"]
    transform.side[:] = ["both", "left", "right"]
    transform.density[:], transform.level[:], transform.texture[:] = 1.0, 0.0, 0.0
    weight = transform._weight(item["label"][:, 0] > 0)
    assert weight[0, 20, 45] > 0.95 and weight[0, 20, 20] < 0.05
    assert weight[1, 20, 30] == pytest.approx(0.75) and weight[1, 60].max() == 0
    assert weight[2, 60, 30] == pytest.approx(0.75) and weight[2, 20].max() == 0


def test_the_edge_is_a_mean_over_nine_pixels_and_tissue_a_quantile(item):
    lungs = item["label"][:, 0] > 0
    expected = torch.nn.functional.avg_pool2d(lungs[:, None].float(), 9, stride=1, padding=4)[:, 0]
    torch.testing.assert_close(_soft(lungs), expected)
    image = torch.rand(3, 80, 64)
    tissue, found = _brightness_of_tissue(image, lungs)
    assert found.all()
    for value, picture, lung in zip(tissue, image, lungs, strict=True):
        assert value == pytest.approx(np.quantile(picture[~lung].numpy(), 0.6), abs=1e-5)
