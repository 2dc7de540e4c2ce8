"""A sample of the images that weights have learnt from, by which other images can be searched for them later."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

SAMPLE, DIGITS = 64, 8  # images of a sample, and of the hash of each
PIECE = 4096  # bytes of a file that are hashed


def sample_of(images: Iterable[str | list[str]]) -> list[str]:
    """The hashes of some images: the least, so that the sample of two lists as one is that of both samples.

    They travel with weights, so they are of what is in the files, wherever these lie and whatever they are called: a
    size, and a piece of the middle, where the pixels are. Whoever has an image can tell that it is among them. From
    names, which may be of patients' numbers, all that are possible could be tried.

    Args:
        images: each the path of a file or of a series' folder, or several paths.

    Raises:
        OSError: if one cannot be read.
    """
    return sorted(_hashes(images))[:SAMPLE]


def joined_samples(first: Sequence[str], second: Sequence[str] | None) -> list[str]:
    """The sample of two lists as one; empty if one is None or empty, as what is in it is not known."""
    return sorted({*first, *second})[:SAMPLE] if first and second else []


def found_of(sample: Sequence[str], images: Iterable[str | list[str]]) -> int:
    """How many images of a :func:`sample_of` are among others, which are given and read as there."""
    return len(set(sample) & _hashes(images))


def _hashes(images: Iterable[str | list[str]]) -> set[str]:
    return {_hash(image) for image in images}


def _hash(image: str | list[str]) -> str:
    """Of the file; of a series that of its file in the middle, by name."""
    files = image if isinstance(image, list) else [image]
    if os.path.isdir(files[0]):
        files = [os.path.join(files[0], name) for name in os.listdir(files[0])] or files
    path = Path(sorted(files, key=os.path.basename)[len(files) // 2])
    size = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(max(0, (size - PIECE) // 2))
        return hashlib.sha256(f"{size} ".encode() + file.read(PIECE)).hexdigest()[:DIGITS]
