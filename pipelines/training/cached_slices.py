"""A dataset of the 2D slices of volumes that reads and decodes each volume once, ever."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from networks import SLICE_OFFSETS, SliceChannels
from transforms import DataError
from transforms.files.atomic import atomic_path

from .cached_dataset import CachedDataset, from_16_bits, to_16_bits

logger = logging.getLogger(__name__)


class CachedSlices(CachedDataset):
    """As :class:`CachedDataset`, of volumes; but an item is one slice, read from disk without the rest of its volume.

    The deterministic transforms run once per volume and must leave ``image`` and ``label`` of shape (1, x, y, z), the
    image floating point in 0 to 1 (kept in 16 bits), the label integers of 0 to 255. The slices are those along z, of
    all volumes in their order, none left out. The random transforms get one slice: ``image`` float32 of shape
    (1, x, y), or (3, x, y) for ``"neighbours"``, and ``label`` uint8 of shape (1, x, y). Items have an ``image`` of
    (3, x, y) in either case.

    Args:
        data: as of CachedDataset; an ``image`` may be a folder, whose files are then watched for changes.
        transform: the deterministic transforms, then the random ones.
        cache_dir: where results are kept, shared by all splits and runs: 3 bytes a voxel.
        channels: what the three channels are, see :class:`networks.VolumeInferer`.

    Raises:
        DataError: as CachedDataset.
        DataError: if ``channels`` is not known, or the transforms leave something else than the above.
    """

    unit = "volumes"
    may_be_random = True
    max_workers = 4  # each holds a volume, and the transforms make copies of it

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        transform: Callable,
        cache_dir: os.PathLike | str,
        channels: SliceChannels = "grey",
    ):
        if channels not in SLICE_OFFSETS:
            raise DataError(f"channels is {channels!r}: give one of {', '.join(SLICE_OFFSETS)}.")
        self.channels = channels
        super().__init__(data, transform, cache_dir)
        depths = [len(_open(self.parts(index)[0])) for index in range(len(data))]
        self.ends = np.cumsum(depths)  # the number of slices up to and with each volume
        if channels == "neighbours" and max(depths) == 1:
            logger.warning("the volumes have one slice each, so that a slice's neighbours are itself: give grey")

    def __len__(self) -> int:
        return int(self.ends[-1])

    def _hold(self) -> None:
        """Nothing: volumes are large, and the system keeps what it has memory for."""

    def parts(self, index: int) -> list[Path]:
        return [self.files[index].with_suffix(f".{key}.npy") for key in ("image", "label")]

    def make(self, index: int) -> None:
        item = self.read(index)
        image, label = (_plain(item[key], key) for key in ("image", "label"))
        for path, volume in zip(self.parts(index), (to_16_bits(image, "image"), label.to(torch.uint8)), strict=True):
            with atomic_path(path) as scratch:
                np.save(scratch, volume[0].movedim(-1, 0).contiguous().numpy())  # slices first: one is one read

    def _transform(self, index: int) -> dict[str, torch.Tensor]:
        volume = int(np.searchsorted(self.ends, index, side="right"))
        # opened again for each slice: an open map is an open file, and a process may have few of them
        images, labels = (_open(path) for path in self.parts(volume))
        number = index - int(self.ends[volume]) + len(images)
        offsets = SLICE_OFFSETS[self.channels]
        numbers = [min(max(number + offset, 0), len(images) - 1) for offset in offsets]
        shown = numbers if len(set(offsets)) > 1 else numbers[:1]
        item = self._post_transform(
            {
                "image": from_16_bits(torch.from_numpy(images[shown])),  # an index list copies
                "label": torch.from_numpy(labels[[number]]),
            }
        )
        return {**item, "image": item["image"].expand(len(offsets), -1, -1)}


def _open(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r")


def _plain(volume: torch.Tensor, key: str) -> torch.Tensor:
    if volume.ndim != 4 or len(volume) != 1:
        raise DataError(
            f"{key} is of shape {tuple(volume.shape)} after the deterministic transforms, not (1, x, y, z)."
        )
    return volume.as_tensor() if isinstance(volume, MetaTensor) else volume
