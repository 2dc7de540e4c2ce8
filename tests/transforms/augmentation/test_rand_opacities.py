"""Disease painted into lungs: what it may change and what it must not."""

from __future__ import annotations

import torch

from tests.transforms.augmentation.conftest import drawn
from transforms import RandOpacitiesd


def test_opacities_brighten_lungs_alone_and_not_beyond_the_tissue(item):
    changed = 0
    for result in drawn(RandOpacitiesd("image", prob=1.0), item):
        assert torch.equal(result["label"], item["label"])  # what is opaque is still lung
        difference = result["image"] - item["image"]
        far = torch.nn.functional.max_pool2d(item["label"].float(), 11, stride=1, padding=5) == 0
        assert difference[far].abs().max() == 0
        assert difference.min() >= 0 and result["image"].max() <= 0.8 + 0.35
        changed += difference.max() > 0.1
    assert changed > 45
    assert RandOpacitiesd("image", prob=0.0)(item)["image"] is item["image"]


def test_opacities_leave_an_image_without_lungs_alone(item):
    empty = {**item, "label": torch.zeros_like(item["label"])}
    assert RandOpacitiesd("image", prob=1.0)(empty)["image"] is item["image"]


def test_seed_decides(item):
    transform = RandOpacitiesd("image", prob=1.0)
    first, again, other = (result["image"] for result in drawn(transform, item, [1, 1, 2]))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_what_is_given_is_not_written_into(item):
    before = item["image"].clone()
    for _ in drawn(RandOpacitiesd("image", prob=1.0), item, range(10)):
        assert torch.equal(item["image"], before)
