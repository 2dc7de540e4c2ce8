"""The stressed validation set: the same at every reading, each copy another change."""

from __future__ import annotations

import pytest
import torch
from monai.data import DataLoader
from monai.transforms import Compose, MapTransform

from pipelines import StressedDataset
from transforms import RandBatchd


class Take(MapTransform):
    """Takes items from a list, as a reader takes them from files."""

    def __init__(self, items):
        super().__init__(items[0].keys())
        self.items = items

    def __call__(self, data):
        return {key: self.items[data["image"]][key] for key in self.keys}


class RandShiftd(RandBatchd):
    """Adds a number of its own to each image, which then leaves 0 to 1."""

    def randomize(self, number):
        self.shifts = self.R.uniform(-0.4, 0.4, number)

    def __call__(self, data):
        image = data["image"]
        self.randomize(len(image))
        return {**data, "image": image + torch.tensor(self.shifts, dtype=torch.float32)[:, None, None, None]}


def make(tmp_path, items, stress, copies):
    data = [{"image": number} for number in range(len(items))]
    return StressedDataset(data, Compose([Take(items)]), tmp_path, stress, copies)


def test_plain_items_first_then_copies_that_never_change(tmp_path):
    items = [{"image": torch.full((1, 2, 2), number / 4)} for number in range(3)]
    random = RandShiftd("image", prob=1.0)
    stressed = make(tmp_path, items, [random], copies=2)
    assert len(stressed) == 9
    first = [stressed[index]["image"][0, 0, 0].item() for index in range(9)]
    random.set_random_state(7)({"image": items[0]["image"][None]})  # what training draws in between changes nothing
    assert [stressed[index]["image"][0, 0, 0].item() for index in reversed(range(9))] == first[::-1]
    assert first[:3] == pytest.approx([0.0, 0.25, 0.5], abs=1e-5)
    shifts = [value - index % 3 / 4 for index, value in enumerate(first)][3:]
    assert len(set(shifts)) == 6 and all(1e-4 < abs(shift) <= 0.4 + 1e-4 for shift in shifts)


def test_a_batch_of_both_kinds_can_be_made_by_a_worker(tmp_path):
    """A worker collates into memory that it shares, and there types must be the same."""
    items = [{"image": torch.zeros(1, 2, 2), "label": torch.ones(1, 2, 2, dtype=torch.uint8)} for _ in range(3)]
    loader = DataLoader(make(tmp_path, items, [RandShiftd("image", prob=1.0)], copies=1), batch_size=4, num_workers=1)
    first, second = loader
    assert first["image"].dtype == second["image"].dtype == torch.float32
    assert first["label"].dtype == second["label"].dtype == torch.uint8 and first["label"].all()
