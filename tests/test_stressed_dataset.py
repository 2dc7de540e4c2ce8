"""The stressed validation set: the same at every reading, each copy another change."""

from __future__ import annotations

import torch
from monai.data import DataLoader, Dataset
from monai.transforms import CastToTyped, RandShiftIntensityd

from pipelines import StressedDataset


def test_plain_items_first_then_copies_that_never_change():
    items = [{"image": torch.full((1, 2, 2), float(number))} for number in range(3)]
    random = RandShiftIntensityd("image", offsets=0.4, prob=1.0)
    stressed = StressedDataset(Dataset(items), [random], copies=2)
    assert len(stressed) == 9
    first = [stressed[index]["image"][0, 0, 0].item() for index in range(9)]
    random.set_random_state(7)(items[0])  # what training draws in between changes nothing
    assert [stressed[index]["image"][0, 0, 0].item() for index in reversed(range(9))] == first[::-1]
    assert first[:3] == [0.0, 1.0, 2.0]
    shifts = [value - index % 3 for index, value in enumerate(first)][3:]
    assert len(set(shifts)) == 6 and all(0 < abs(shift) <= 0.4 for shift in shifts)


def test_a_batch_of_both_kinds_can_be_made_by_a_worker():
    """A worker collates into memory that it shares, and there types must be the same."""
    items = [{"image": torch.zeros(1, 2, 2), "label": torch.ones(1, 2, 2, dtype=torch.uint8)} for _ in range(3)]
    random = [RandShiftIntensityd("image", offsets=0.4, prob=1.0), CastToTyped("label", torch.float32)]
    loader = DataLoader(StressedDataset(Dataset(items), random, copies=1), batch_size=4, num_workers=1)
    first, second = loader
    assert first["label"].dtype == second["label"].dtype == torch.uint8 and first["label"].all()
