"""Finds the same image under two names in two splits, which would make a model look better than it is.

A manifest keeps each patient in one split, by what its source says of patients. An image that came by two ways, under
two names, gets past that. Knows no data set by name.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from ignite import distributed as idist
from ignite.engine import Events
from monai.engines import Workflow
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata

from transforms import DataError, RadiographReader, progress
from transforms.files.atomic import atomic_write

from ..stamps import stamp_of
from .manifest import DataList, read_manifest
from .splits import SPLITS

logger = logging.getLogger(__name__)

SIDE = 32  # of the small picture that images are compared by
SMOOTH = 2.0  # pixels of it: what is coarser, all radiographs of a chest have in common
# Correlation from which on two are one. Of 566 and 1,146 radiographs of different people, the two most alike have 0.86;
# of 176 that are kept in two forms (size, shape, depth, JPEG) the least has 0.96.
ALIKE = 0.92
BLOCK = 2048  # images that are compared at a time
SHOWN = 10
KEPT = "compared.npz"


class LeakageAudit:
    """Handler of a trainer: says before the first epoch which images are in two splits of the manifest trained on.

    Data that are of no manifest, as those of MONAI Label, are not looked at.

    Args:
        cache_dir: as of :func:`find_leaks`.
        strict: as of :func:`audit`.
    """

    def __init__(self, cache_dir: os.PathLike | str, strict: bool = False):
        self.cache_dir = cache_dir
        self.strict = strict

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.STARTED, self.started)

    def started(self, engine: Workflow) -> None:
        data = engine.state.dataloader.dataset.data
        if isinstance(data, DataList) and idist.get_rank() == 0:
            audit(*data.source, self.cache_dir, self.strict)


class Leak(NamedTuple):
    """Two entries of different splits that hold one image.

    Attributes:
        first, second: split and number in its list.
        images: their paths in the manifest.
        alike: the correlation of both, ALIKE to 1; 1 where all pixels are the same.
    """

    first: tuple[str, int]
    second: tuple[str, int]
    images: tuple[str, str]
    alike: float

    def __str__(self) -> str:
        places = (f"{split}[{number}]" for split, number in (self.first, self.second))
        how = "the same pixels" if self.alike == 1 else f"the same picture, correlation {self.alike:.2f}"
        return f"{' and '.join(places)}: {how}"


def audit(
    manifest: os.PathLike | str,
    dataset_dir: os.PathLike | str,
    cache_dir: os.PathLike | str | None = None,
    strict: bool = False,
) -> list[Leak]:
    """Say which images are in two splits of a manifest.

    Args:
        manifest: its file.
        dataset_dir: what its paths are relative to.
        cache_dir: as of :func:`find_leaks`.
        strict: whether that is an error, or a warning.

    Raises:
        DataError: as :func:`read_manifest`; if ``strict``, and there are any.
    """
    leaks = find_leaks(manifest, dataset_dir, cache_dir)
    if leaks:
        more = f"\n  ... and {len(leaks) - SHOWN} more" if len(leaks) > SHOWN else ""
        listed = "\n".join(f"  {leak}" for leak in leaks[:SHOWN])
        text = (
            f"{manifest}: {len(leaks)} pairs of entries in different splits hold one image, so figures will be better "
            f"than they should be:\n{listed}{more}\nGive both entries of a pair the same patient_id, and make the "
            "split again."
        )
        if strict:
            raise DataError(text)
        logger.warning(text)
    return leaks


def find_leaks(
    manifest: os.PathLike | str, dataset_dir: os.PathLike | str, cache_dir: os.PathLike | str | None = None
) -> list[Leak]:
    """Find images that are in two splits of a manifest, the most alike first.

    Radiographs in DICOM, PNG and JPEG are compared by small pictures: the order of their brightness, without what is
    coarse, so that size, shape, bit depth, compression, window and gamma do not matter. One that is inverted, mirrored,
    turned or cut is another. Volumes and NIfTI are compared by the bytes of their files. What cannot be read is left
    out: training says so.

    Args:
        manifest: its file.
        dataset_dir: what its paths are relative to.
        cache_dir: where the small pictures are kept, so that each image is read once; None: nowhere.
    """
    content = read_manifest(manifest)
    where = [(split, number) for split in SPLITS for number in range(len(content[split]))]
    images = [content[split][number]["image"] for split, number in where]
    prints = _prints([_files(Path(dataset_dir), image) for image in images], cache_dir)
    by_split = [[i for i, (split, _) in enumerate(where) if split == name and i in prints] for name in SPLITS]
    leaks = [
        Leak(where[a], where[b], (_name(images[a]), _name(images[b])), alike)
        for first, second in combinations(by_split, 2)
        for a, b, alike in _alike(first, second, prints)
    ]
    return sorted(leaks, key=lambda leak: -leak.alike)


class _Print(NamedTuple):
    pixels: str  # a hash
    picture: npt.NDArray[np.float32]  # of length 1, or of zeros


def _alike(first: list[int], second: list[int], prints: dict[int, _Print]) -> Iterator[tuple[int, int, float]]:
    for a, b in ((a, b) for a in _blocks(first) for b in _blocks(second)):
        products = np.stack([prints[i].picture for i in a]) @ np.stack([prints[i].picture for i in b]).T
        same = np.equal.outer([prints[i].pixels for i in a], [prints[i].pixels for i in b])
        for row, column in np.argwhere((products >= ALIKE) | same):
            alike = 1.0 if same[row, column] else min(float(products[row, column]), 0.9999)
            yield a[row], b[column], alike


def _blocks(items: list[int]) -> Iterator[list[int]]:
    return (items[start : start + BLOCK] for start in range(0, len(items), BLOCK))


def _prints(paths: Sequence[list[Path]], cache_dir: os.PathLike | str | None) -> dict[int, _Print]:
    """By the number of each image that can be read."""
    file = Path(cache_dir) / KEPT if cache_dir is not None else None
    kept = _load(file) if file is not None else {}
    keys = [_key(files) for files in paths]
    missing = [i for i, key in enumerate(keys) if key and key not in kept]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        read = pool.map(_print, (paths[i] for i in missing))
        read = progress(read, len(missing), "looking for images in two splits", "file")
        made = dict(zip(missing, read, strict=True))
    kept |= {keys[i]: value for i, value in made.items() if value is not None}
    if file is not None and missing:
        with atomic_write(file, "wb") as stream:  # with those of other manifests, whose trainings have the same folder
            pixels, pictures = zip(*kept.values(), strict=True) if kept else ((), ())
            np.savez(stream, keys=list(kept), pixels=pixels, pictures=pictures)
    return {i: kept[key] for i, key in enumerate(keys) if key in kept}


def _load(file: Path) -> dict[str, _Print]:
    try:
        with np.load(file, allow_pickle=False) as content:
            rows = zip(content["keys"], content["pixels"], content["pictures"], strict=True)
            return {str(key): _Print(str(pixels), picture) for key, pixels, picture in rows}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):  # missing, or damaged: made again
        return {}


def _print(files: list[Path]) -> _Print | None:
    if len(files) > 1 or files[0].is_dir() or files[0].name.endswith((".nii", ".nii.gz")):
        return _Print(_of_bytes(files), np.zeros(SIDE * SIDE, np.float32))
    reader = RadiographReader(unknown_spacing="pixels")
    try:
        pixels = reader.get_data(reader.read(files[0]))[0].squeeze()
    except DataError:
        return None
    small = Image.fromarray(pixels.T.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BOX)
    order = rankdata(np.asarray(small)).reshape(SIDE, SIDE)
    fine = (order - gaussian_filter(order, SMOOTH, mode="nearest")).ravel()
    fine -= fine.mean()
    length = np.linalg.norm(fine)
    picture = (fine / length if length else fine).astype(np.float32)
    return _Print(hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest(), picture)


def _of_bytes(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _files(root: Path, image: str | list[str]) -> list[Path]:
    return [root / image] if isinstance(image, str) else [root / path for path in image]


def _name(image: Any) -> str:
    return image if isinstance(image, str) else image[0]


def _key(files: list[Path]) -> str:
    """Of paths and what is there; empty if a file is missing."""
    if not all(file.exists() for file in files):
        return ""
    stamps = [(str(file), stamp_of(file)) for file in files]
    return hashlib.sha256(repr(stamps).encode()).hexdigest()
