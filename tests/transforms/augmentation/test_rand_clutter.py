"""What is drawn over radiographs: the truth changes below borders alone."""

from __future__ import annotations

import torch

from tests.transforms.augmentation.conftest import drawn
from transforms import RandClutterd


def test_clutter_changes_the_truth_below_borders_alone(item):
    bordered = 0
    for result in drawn(RandClutterd("image", prob=0.5, border=0.2), item):
        assert result["image"].min() >= 0 and result["image"].max() <= 1
        lost = (item["label"] > 0) & (result["label"] == 0)
        assert not ((result["label"] > 0) & (item["label"] == 0)).any()
        if lost.any():
            bordered += 1
            assert result["image"][lost].unique().numel() == 1  # one shade over all of the border
    assert bordered > 5
    for result in drawn(RandClutterd("image", prob=1.0, border=0.0), item):
        assert torch.equal(result["label"], item["label"])


def test_seed_decides(item):
    transform = RandClutterd("image", prob=0.9)
    first, again, other = (result["image"] for result in drawn(transform, item, [1, 1, 2]))
    assert torch.equal(first, again) and not torch.equal(first, other)
