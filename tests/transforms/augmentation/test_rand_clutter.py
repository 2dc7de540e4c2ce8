"""What is drawn over radiographs: the truth changes below borders alone."""

from __future__ import annotations

import torch

from tests.transforms.augmentation.conftest import COLUMNS, ROWS, drawn
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


def test_what_is_given_is_not_written_into(item):
    """It may be a cached image, from which the next epoch starts."""
    before = {key: value.clone() for key, value in item.items()}
    for _ in drawn(RandClutterd("image", prob=1.0), item, range(10)):
        assert all(torch.equal(item[key], value) for key, value in before.items())


def test_border_is_as_wide_as_drawn_on_each_side(item):
    transform = RandClutterd("image", prob=1.0, border=0.4)
    for result in drawn(transform, {**item, "label": torch.ones_like(item["label"])}, range(10)):
        left, right, top, bottom = (transform.sides * [COLUMNS, COLUMNS, ROWS, ROWS]).astype(int)
        kept = torch.nonzero(result["label"][0])
        assert kept.amin(dim=0).tolist() == [left, top]
        assert kept.amax(dim=0).tolist() == [COLUMNS - right - 1, ROWS - bottom - 1]
        assert (result["image"][result["label"] == 0] == float(transform.border_shade)).all()
