"""A data set that reads and decodes each image once, ever."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from ignite import distributed as idist
from monai.data import MetaTensor, PersistentDataset
from monai.data.utils import pickle_hashing
from monai.transforms import RandomizableTrait
from torch.utils.data import DataLoader, Dataset

import transforms
from transforms import DataError, plain_error, progress
from transforms.files.atomic import atomic_write

from ..stamps import stamp_of

logger = logging.getLogger(__name__)

FULL_SCALE = 65535  # of 16 bits
MEMORY_BYTES = 2 * 2**30  # of items that a process keeps; the rest is read from disk each time


class CachedDataset(PersistentDataset):
    """MONAI's PersistentDataset, filled before training starts; an item is a row of a tensor of small integers.

    The transforms run once per item; their result lies on disk, and up to MEMORY_BYTES in memory, where the items are
    one tensor a key, which a loader's processes share. Items are plain tensors: what was floating point in uint16 (see
    :func:`from_16_bits`), the rest, such as masks of uint8, as it was. :class:`pipelines.BatchOnDevice` makes of them
    what a network takes, and changes them at random.

    Filling it first means that a damaged file is found before the first epoch, and all damaged files in one go. A file
    that changed (size or time), other boxes, other transforms or settings of them, other code in ``transforms`` or
    another MONAI or pydicom is another key: nothing stale is read.

    Args:
        data: dictionaries; files are given as paths.
        transform: deterministic transforms, which leave tensors alone, of one shape in all items. What is floating
            point must lie in 0 to 1: it is kept in 16 bits, with an error of at most 1 / 131070.
        cache_dir: where results are kept, shared by all splits and runs.

    Raises:
        DataError: if items cannot be read; it lists the first ten and what is wrong with each.
        DataError: if a transform is random, or the transforms leave something else than the above.
    """

    unit = "images"  # what its items are made of, in messages
    max_workers = 64  # that fill the cache
    may_be_random = False  # the last transforms

    def __init__(self, data: Sequence[dict[str, Any]], transform: Callable, cache_dir: os.PathLike | str):
        folder = Path(cache_dir)
        super().__init__(data, transform, folder, hash_transform=pickle_hashing)
        random = [part for part in self.transform.flatten().transforms if isinstance(part, RandomizableTrait)]
        if random and not self.may_be_random:
            raise DataError(
                f"{type(random[0]).__name__} is random, and only what does not change can be cached. Images are "
                "changed at random by batch: see train#random_transforms."
            )
        # the sources too: a reader that was corrected must not leave old pixels in use
        made_by = [self.transform_hash, _sources_hash(), version("monai"), version("pydicom")]
        self.files = [folder / f"{_key(item, made_by)}.pt" for item in data]
        with idist.one_rank_first():  # where several processes train: the others find what it made
            self._fill()
        self._hold()

    def __getitem__(self, index: int | slice | Sequence[int]) -> Any:
        try:
            return super().__getitem__(index)
        except FileNotFoundError as error:
            raise DataError(
                f"{error.filename}: was removed while the run needed it. Give the command again, which makes it again; "
                "a training with --resume True."
            ) from error

    def _transform(self, index: int) -> dict[str, torch.Tensor]:
        index %= len(self.files)  # the last one is -1 too
        return self._load(index) if index >= self.held else {key: rows[index] for key, rows in self.rows.items()}

    def _load(self, index: int) -> dict[str, torch.Tensor]:
        return torch.load(self.files[index], weights_only=True)

    def _hold(self) -> None:
        """Take the first items into memory, as many as it may hold, and see that they are of one shape."""
        first = self._load(0)
        self.held = min(len(self.files), MEMORY_BYTES // sum(value.nbytes for value in first.values()))
        self.rows = {key: value.new_empty((self.held, *value.shape)) for key, value in first.items()}
        for index in range(self.held):
            for key, value in self._load(index).items():
                if value.shape != first[key].shape:
                    raise DataError(
                        f"{key} is of shape {tuple(first[key].shape)} in one item and {tuple(value.shape)} in another. "
                        "Fit them to one shape among the deterministic transforms."
                    )
                self.rows[key][index] = value

    def parts(self, index: int) -> list[Path]:
        """The files that an item is kept in."""
        return [self.files[index]]

    def _fill(self) -> None:
        index_of = {file: index for index, file in enumerate(self.files)}  # one may be listed often
        missing = [i for i in index_of.values() if not all(part.is_file() for part in self.parts(i))]
        logger.info("cache %s: %d of %d found", self.cache_dir, len(index_of) - len(missing), len(index_of))
        workers = min(os.cpu_count() or 1, len(missing) // 8, self.max_workers)
        errors = DataLoader(_Fill(self, missing), batch_size=None, num_workers=workers)
        failed = [error for error in progress(errors, len(missing), "decoding images once", "image") if error]
        if failed:
            shown = "\n".join(f"  {error}" for error in failed[:10])
            more = f"\n  ... and {len(failed) - 10} more" if len(failed) > 10 else ""
            raise DataError(f"{len(failed)} of {len(index_of)} {self.unit} cannot be used:\n{shown}{more}")

    def read(self, index: int) -> dict[str, Any]:
        """The result of the deterministic transforms."""
        item = deepcopy(self.data[index])
        _verify(item.pop("sha256", None), item["image"])
        return self._pre_transform(item)

    def make(self, index: int) -> None:
        """Read, transform and keep one item."""
        item = self.read(index)
        with atomic_write(self.files[index], "wb") as file:
            torch.save({key: _kept(value, key) for key, value in item.items()}, file)


class _Fill(Dataset):
    """Makes items in a DataLoader's workers; gives what went wrong, or an empty string."""

    def __init__(self, dataset: CachedDataset, indices: list[int]):
        self.dataset = dataset
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, number: int) -> str:
        try:
            self.dataset.make(self.indices[number])
        except Exception as error:
            cause = plain_error(error)
            if cause is None:
                raise
            return str(cause)
        return ""


def _verify(checksum: str | None, path: str) -> None:
    """Of single files: a series' entry has no checksum."""
    if checksum is not None and hashlib.sha256(Path(path).read_bytes()).hexdigest() != checksum:
        raise DataError(
            f"{path}: is not the file that the manifest was made of (its SHA-256 differs). Make the manifest again."
        )


def _sources_hash() -> str:
    """Of the code that turns files into tensors."""
    sources = sorted(Path(transforms.__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def _key(item: dict[str, Any], made_by: list[str]) -> str:
    stats = {}
    for value in item.values():
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, str) and os.path.exists(path):
                stats[path] = stamp_of(path)
    return hashlib.sha256(json.dumps([item, stats, made_by], sort_keys=True).encode()).hexdigest()


def _kept(value: Any, key: str) -> torch.Tensor:
    """A plain tensor, of floating point in 16 bits."""
    if not isinstance(value, torch.Tensor):
        raise DataError(f"{key} is {type(value).__name__} after the deterministic transforms, and not a tensor.")
    if isinstance(value, MetaTensor):
        value = value.as_tensor().clone()  # a view would be saved with all of what it is a view of
    return to_16_bits(value, key) if value.is_floating_point() else value


def to_16_bits(value: torch.Tensor, name: str) -> torch.Tensor:
    """Values in 0 to 1 as uint16.

    Raises:
        DataError: with ``name``, if there are others.
    """
    if not (value.min() >= -1e-4 and value.max() <= 1 + 1e-4):
        raise DataError(
            f"{name} runs from {value.min():g} to {value.max():g}; only 0 to 1 can be cached in 16 bits. Scale it "
            "among the deterministic transforms."
        )
    return (value.clamp(0, 1) * FULL_SCALE).round().to(torch.uint16)


def from_16_bits(value: torch.Tensor) -> torch.Tensor:
    """The inverse of :func:`to_16_bits`, float32 on the value's device; what is not uint16 stays as it is."""
    return value.to(torch.float32).div_(FULL_SCALE) if value.dtype == torch.uint16 else value
