"""A harder validation set: each image as other hospitals might have sent it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from monai.transforms import Compose

from .cached_dataset import CachedDataset

COPY_SEED = 1_000_003  # apart from the seeds of epochs


class StressedDataset(CachedDataset):
    """Each item as it is, and copies changed by random transforms that draw the same at every reading.

    Validation on images of the hospital trained on cannot show that a model fails elsewhere. So the model is chosen by
    how well it does where exposure, position, borders, clutter and disease differ.

    Args:
        data: as of CachedDataset.
        transform: the deterministic transforms.
        cache_dir: as of CachedDataset.
        stress: the random transforms; copies of their own are kept.
        copies: changed copies of each item; the unchanged items come first.
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        transform: Callable,
        cache_dir: os.PathLike | str,
        stress: Sequence[Any],
        copies: int,
    ):
        super().__init__(data, transform, cache_dir, track_meta=False)
        self.stress = Compose(deepcopy(list(stress)))
        self.copies = copies

    def __len__(self) -> int:
        return len(self.data) * (1 + self.copies)

    def _transform(self, index: int) -> Any:
        copy, number = divmod(index, len(self.data))
        item = super()._transform(number)
        if copy == 0:
            return item
        self.stress.set_random_state(seed=COPY_SEED + index)
        changed = self.stress(item)
        # a batch may hold both kinds, so a mask stays of the type that it has in unchanged items
        return {key: changed[key].to(value.dtype) for key, value in item.items()}
