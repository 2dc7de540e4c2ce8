"""A harder validation set: each image as other hospitals might have sent it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from monai.transforms import Compose
from torch.utils.data import Dataset

COPY_SEED = 1_000_003  # apart from the seeds of epochs


class StressedDataset(Dataset):
    """Each item as it is, and copies of it changed by random transforms whose draws are the same at every reading.

    Validation on images of the hospital trained on cannot see that a model fails next door. So the model is chosen by
    how well it does where exposure, position, borders, clutter and disease differ.

    Args:
        dataset: items without random transforms.
        transforms: the random transforms; copies of their own are kept.
        copies: changed copies of each item; the unchanged items come first.
    """

    def __init__(self, dataset: Dataset, transforms: Sequence[Any], copies: int):
        self.dataset = dataset
        self.stress = Compose(deepcopy(list(transforms)))
        self.copies = copies

    def __len__(self) -> int:
        return len(self.dataset) * (1 + self.copies)

    def __getitem__(self, index: int) -> Any:
        copy, number = divmod(index, len(self.dataset))
        if copy == 0:
            return self.dataset[number]
        self.stress.set_random_state(seed=COPY_SEED + index)
        item = self.dataset[number]
        changed = self.stress(item)
        # a batch may hold both kinds, so a mask stays of the type that it has in unchanged items
        return {key: changed[key].to(value.dtype) for key, value in item.items()}
