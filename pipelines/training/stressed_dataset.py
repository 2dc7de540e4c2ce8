"""A harder validation set: each image as other hospitals might have sent it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
from monai.transforms import Compose

from transforms import RandBatchd

from .cached_dataset import CachedDataset, from_16_bits

COPY_SEED = 1_000_003  # apart from the seeds of epochs


class StressedDataset(CachedDataset):
    """Each item as it is, and copies changed by random transforms that draw the same at every reading.

    Validation on images of the hospital trained on cannot show that a model fails elsewhere. So the model is chosen by
    how well it does where exposure, position, borders, clutter and disease differ.

    Items are as of CachedDataset, but images are float32, since changed ones leave 0 to 1. A copy is changed as a batch
    of one, so that it does not depend on how items are put into batches.

    Args:
        data: as of CachedDataset.
        transform: as of CachedDataset.
        cache_dir: as of CachedDataset.
        stress: the random transforms, of batches; copies of their own are kept.
        copies: changed copies of each item; the unchanged items come first.
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        transform: Callable,
        cache_dir: os.PathLike | str,
        stress: Sequence[RandBatchd],
        copies: int,
    ):
        super().__init__(data, transform, cache_dir)
        self.stress = Compose(deepcopy(list(stress)))
        self.copies = copies

    def __len__(self) -> int:
        return len(self.data) * (1 + self.copies)

    def _transform(self, index: int) -> dict[str, torch.Tensor]:
        copy, number = divmod(index, len(self.data))
        item = {key: from_16_bits(value) for key, value in super()._transform(number).items()}
        if copy == 0:
            return item
        self.stress.set_random_state(seed=COPY_SEED + index)
        changed = self.stress({key: value[None] for key, value in item.items()})
        return {key: value[0] for key, value in changed.items()}
