"""What is drawn over radiographs: the truth changes below borders alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.transforms.augmentation.conftest import COLUMNS, ROWS, drawn
from transforms import RandClutterd
from transforms.augmentation.rand_clutter import Lines, draw


def test_clutter_changes_the_truth_below_borders_alone(item):
    bordered = 0
    for result in drawn(RandClutterd("image", prob=0.5, border=0.2), item):
        assert result["image"].min() >= 0 and result["image"].max() <= 1
        assert not ((result["label"] > 0) & (item["label"] == 0)).any()
        for image, label, before in zip(result["image"], result["label"], item["label"], strict=True):
            lost = (before > 0) & (label == 0)
            if lost.any():
                bordered += 1
                assert image[lost].unique().numel() == 1  # one shade over all of the border
    assert bordered > 10
    for result in drawn(RandClutterd("image", prob=1.0, border=0.0), item):
        assert torch.equal(result["label"], item["label"])


def test_border_is_as_wide_as_drawn_on_each_side(item):
    transform = RandClutterd("image", prob=1.0, border=0.4)
    for result in drawn(transform, {**item, "label": torch.ones_like(item["label"])}, range(5)):
        for number, (image, label) in enumerate(zip(result["image"], result["label"], strict=True)):
            left, right, top, bottom = (transform.sides[number] * [COLUMNS, COLUMNS, ROWS, ROWS]).astype(int)
            kept = torch.nonzero(label[0])
            assert kept.amin(dim=0).tolist() == [left, top]
            assert kept.amax(dim=0).tolist() == [COLUMNS - right - 1, ROWS - bottom - 1]
            np.testing.assert_allclose(image[label == 0].numpy(), transform.border_shade[number], rtol=1e-6)


def test_each_kind_is_as_probable_as_it_says():
    transform = RandClutterd("image", prob=0.25, border=0.1).set_random_state(0)
    transform.randomize(4000)
    kinds = [sum(len(part) > 0 for part in parts) for parts in zip(*transform.lines, strict=True)]
    for count in (*kinds, len(transform.blocked), len(transform.bordered)):
        assert count == pytest.approx(1000, abs=110)
    assert len(transform.lined) == pytest.approx(4000 * (1 - 0.75**3), abs=130)
    numbers = [np.mean([len(part) for part in parts if len(part)]) for parts in zip(*transform.lines, strict=True)]
    assert numbers == pytest.approx([2, 2, 2.5], abs=0.15)  # one to three letters and tubes, one to four discs
    assert np.mean(transform.blocks[:, :, 2] >= 0) == pytest.approx(2 / 3, abs=0.04)
    assert np.mean(transform.sides > 0) == pytest.approx(0.6, abs=0.03) and transform.sides.max() <= 0.1
    shares = [np.mean(transform.border_shade == shade) for shade in (0, 1)]
    assert shares == pytest.approx([0.6, 0.2], abs=0.06)


def test_a_block_is_where_and_what_its_numbers_say():
    transform = RandClutterd("image", prob=1.0)
    transform.blocked = np.array([1])
    transform.blocks = np.full((1, 3, 6), -np.inf)
    transform.blocks[0, :, 3:] = 0.5
    transform.blocks[0, 0] = [0.25, 0.5, 0.5, 0.5, 0.8, 0.1]  # x, y, width, height, shade, dim: covers
    transform.blocks[0, 1] = [0.75, 0.0, 0.5, 0.5, 0.8, 0.6]  # dims
    transform.blocks[0, 2, :2] = 0
    image = torch.full((2, 1, 100, 50), 0.4)
    transform._block(image)
    expected = torch.full((2, 1, 100, 50), 0.4)
    expected[1, 0, 25 : 25 + 14, 25 : 25 + 7] = 0.8
    expected[1, 0, 75 : 75 + 14, 0:7] = 0.4 * 0.6 + 0.8 * 0.4
    torch.testing.assert_close(image, expected)


def test_lines_lie_where_they_are_drawn():
    disc = np.array([[0.5, 0.25, 1.0, 1.0]])  # x, y, shade, radius
    tubes, letters = draw(Lines([("L", 0.5, 0.5, 0.9, 1.0)], [], disc), 100, 200)
    assert tubes.shape == (200, 100) and tubes[50, 50] == 240 and tubes[100:].max() == 0
    written = np.argwhere(letters > 0)
    assert written[:, 1].min() >= 72 and abs(written[:, 0].mean() - 90) < 25
    straight = np.array([[0.0, 0.0], [1 / 3, 1 / 3], [2 / 3, 2 / 3], [1.0, 1.0]])
    tubes, letters = draw(Lines([], [(straight, 0.5)], np.empty((0, 4))), 100, 200)
    assert tubes[100, 50] == tubes[20, 10] == 127 and tubes[20, 80] == 0 and letters.max() == 0
