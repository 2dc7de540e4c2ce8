"""A dataset that reads and decodes each image once, ever."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite import distributed as idist
from monai.data import MetaTensor, PersistentDataset, get_track_meta, set_track_meta
from monai.data.utils import pickle_hashing
from torch.utils.data import DataLoader, Dataset, get_worker_info
from tqdm import tqdm

import transforms
from transforms import DataError, plain_error
from transforms.files.atomic import atomic_write

logger = logging.getLogger(__name__)

FULL_SCALE = 65535  # of 16 bits
MEMORY_BYTES = 2 * 2**30  # of compressed items that a process keeps; the rest is read from disk each time


class CachedDataset(PersistentDataset):
    """MONAI's PersistentDataset, filled before training starts and keeping images in 16 bits.

    The transforms up to the first random one run once per item; their result lies on disk, and in memory up to
    MEMORY_BYTES. Filling it first means that a damaged file is found before the first epoch, and all
    damaged files in one go. A file that changed (size or time), other boxes, other transforms or settings of them,
    other code in ``transforms`` or another MONAI or pydicom is another key: nothing stale is read.

    Args:
        data: dictionaries; files are given as paths.
        transform: the deterministic transforms, then the random ones. What is floating point after the deterministic
            ones must lie in 0 to 1: it is kept in 16 bits, with an error of at most 1 / 131070.
        cache_dir: where results are kept, shared by all splits and runs.
        track_meta: whether items carry the metadata that transforms are inverted by. Training needs none, and without
            it loading and the random transforms take half the time.

    Raises:
        DataError: if items cannot be read; it lists the first ten and what is wrong with each.
    """

    unit = "images"  # what its items are made of, in messages
    max_workers = 64  # that fill the cache

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        transform: Callable,
        cache_dir: os.PathLike | str,
        track_meta: bool = True,
    ):
        folder = Path(cache_dir)
        super().__init__(data, transform, folder, hash_transform=pickle_hashing, track_meta=track_meta)
        # the sources too: a reader that was corrected must not leave old pixels in use
        made_by = [self.transform_hash, _sources_hash(), version("monai"), version("pydicom")]
        self.files = [folder / f"{_key(item, made_by)}.pt" for item in data]
        self.memory: dict[int, dict[str, Any]] = {}
        self.memory_left = MEMORY_BYTES
        with idist.one_rank_first():  # where several processes train: the others find what it made
            self._fill()

    def __getitem__(self, index: int | slice | Sequence[int]) -> Any:
        try:
            return super().__getitem__(index)
        except FileNotFoundError as error:
            raise DataError(
                f"{error.filename}: was removed while the run needed it. Give the command again, which makes it again; "
                "a training with --resume True."
            ) from error

    def _transform(self, index: int) -> Any:
        item = _expand(self._compressed(index))
        if self.track_meta:
            for key, record in torch.load(_meta_file(self.files[index]), weights_only=True).items():
                item[key] = MetaTensor(item[key], meta=record["meta"], applied_operations=record["operations"])
        return self.change(item)

    def change(self, item: dict[str, Any]) -> Any:
        """The random transforms, which take half the time where they need not keep metadata."""
        tracked = get_track_meta()
        set_track_meta(tracked and self.track_meta)
        try:
            return self._post_transform(item)
        finally:
            set_track_meta(tracked)

    def _compressed(self, index: int) -> dict[str, Any]:
        if index in self.memory:
            return self.memory[index]
        item = torch.load(self.files[index], weights_only=True)
        if self.memory_left > 0 and get_worker_info() is None:  # a worker ends with the epoch, and its memory with it
            self.memory[index] = item
            self.memory_left -= sum(value.nbytes for value in item.values() if isinstance(value, torch.Tensor))
        return item

    def parts(self, index: int) -> list[Path]:
        """The files that an item is kept in."""
        file = self.files[index]
        return [file, _meta_file(file)] if self.track_meta else [file]

    def _fill(self) -> None:
        missing = [i for i in range(len(self.files)) if not all(part.is_file() for part in self.parts(i))]
        logger.info("cache %s: %d of %d found", self.cache_dir, len(self.files) - len(missing), len(self.files))
        workers = min(os.cpu_count() or 1, len(missing) // 8, self.max_workers)
        errors = DataLoader(_Fill(self, missing), batch_size=None, num_workers=workers)
        progress = tqdm(errors, total=len(missing), desc="decoding images once", unit="file", disable=None)
        failed = [error for error in progress if error]
        if failed:
            shown = "\n".join(f"  {error}" for error in failed[:10])
            more = f"\n  ... and {len(failed) - 10} more" if len(failed) > 10 else ""
            raise DataError(f"{len(failed)} of {len(self.files)} {self.unit} cannot be used:\n{shown}{more}")

    def read(self, index: int) -> dict[str, Any]:
        """The result of the deterministic transforms."""
        item = deepcopy(self.data[index])
        _verify(item.pop("sha256", None), item["image"])
        return self._pre_transform(item)

    def make(self, index: int) -> None:
        """Read, transform and keep one item."""
        item = self.read(index)
        with atomic_write(self.files[index], "wb") as file:
            torch.save(_compress(item), file)
        if self.track_meta:
            records = {
                key: {"meta": _plain(value.meta), "operations": _plain(value.applied_operations)}
                for key, value in item.items()
                if isinstance(value, MetaTensor)
            }
            with atomic_write(_meta_file(self.files[index]), "wb") as file:
                torch.save(records, file)


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
                stats[path] = _stat(path)
    return hashlib.sha256(json.dumps([item, stats, made_by], sort_keys=True).encode()).hexdigest()


def _stat(path: str) -> list:
    """Size and time of a file; or the names, sizes and times of the files in a folder, which is a series."""
    if os.path.isdir(path):
        return [[entry.name, *_stat(entry.path)] for entry in sorted(os.scandir(path), key=lambda entry: entry.name)]
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns]


def _meta_file(file: Path) -> Path:
    return file.with_suffix(".meta.pt")


def _compress(item: dict[str, Any]) -> dict[str, Any]:
    """Plain tensors, those of floating point in 16 bits."""
    compressed = {}
    for key, value in item.items():
        if isinstance(value, MetaTensor):
            value = value.as_tensor().clone()  # a view would be saved with all of what it is a view of
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            value = to_16_bits(value, key)
        compressed[key] = value
    return compressed


def to_16_bits(value: torch.Tensor, name: str) -> torch.Tensor:
    """Values in 0 to 1 as uint16.

    Raises:
        ValueError: with ``name``, if there are others.
    """
    if not (value.min() >= -1e-4 and value.max() <= 1 + 1e-4):
        raise ValueError(
            f"{name} runs from {value.min():g} to {value.max():g}; only 0 to 1 can be cached in 16 bits. Scale it "
            "among the deterministic transforms."
        )
    return (value.clamp(0, 1) * FULL_SCALE).round().to(torch.uint16)


def from_16_bits(value: torch.Tensor) -> torch.Tensor:
    """The inverse of :func:`to_16_bits`, float32."""
    return value.to(torch.float32) / FULL_SCALE


def _expand(item: dict[str, Any]) -> dict[str, Any]:
    """The inverse of _compress, in tensors of its own, since what is kept in memory must not be changed."""
    expanded = {}
    for key, value in item.items():
        if isinstance(value, torch.Tensor):
            value = from_16_bits(value) if value.dtype == torch.uint16 else value.clone()
        expanded[key] = value
    return expanded


def _plain(value: Any) -> Any:
    """Metadata as values that torch loads without running code."""
    if isinstance(value, dict):
        return {_plain(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(v) for v in value)
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    if isinstance(value, np.generic):
        return value.item()
    return value.value if isinstance(value, Enum) else value
