"""Joins manifests of several data sets into one, each patient in the split that he or she had."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from transforms import DataError, check_writable

from .manifest import read_manifest, write_manifest
from .splits import SPLITS

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of :func:`join_manifests`."""
    parser.add_argument("folder", metavar="DIR", help="holds the data sets, each in a folder of its own")
    parser.add_argument(
        "--parts", required=True, nargs="+", metavar="FOLDER=MANIFEST", help="a data set below DIR and its manifest"
    )
    parser.add_argument("--name", required=True, help="of the manifest")
    parser.add_argument("--out", required=True, metavar="FILE", help="the manifest to write")
    parser.set_defaults(command=join_manifests)


def join_manifests(
    folder: os.PathLike | str, parts: Sequence[str], name: str, out: os.PathLike | str
) -> dict[str, Any]:
    """Join manifests. No image is read.

    So a model can learn from several hospitals, and be tested on the same patients as one that learnt from one of them.

    Args:
        folder: holds the data sets; the paths of the new manifest are relative to it.
        parts: ``FOLDER=MANIFEST`` each: a data set's folder below ``folder``, and the manifest that was made of it.
        name: the new manifest's name.
        out: the manifest to write.

    Returns:
        the manifest.

    Raises:
        DataError: if a part is not of this form, its folder or its manifest is missing, a folder is not below
            ``folder`` or is another's or in it, an image comes twice, or the tasks differ; and as
            :func:`read_manifest`.
    """
    folder, out = Path(folder), Path(out)
    check_writable([out.absolute().parent])
    manifests: dict[str, dict[str, Any]] = {}
    for part in parts:
        below, found, path = part.partition("=")
        if not found or not below or not path:
            raise DataError(f"--parts {part}: must be FOLDER=MANIFEST.")
        _check_folder(folder, below, manifests)
        manifests[below] = read_manifest(path)
    tasks = sorted({manifest["task"] for manifest in manifests.values()})
    if len(tasks) > 1:
        raise DataError(f"the manifests are for different tasks: {', '.join(tasks)}. Join those of one task.")
    joined = {
        "manifest_version": 1,
        "name": name,
        "task": tasks[0],
        **{key: "; ".join(dict.fromkeys(m[key] for m in manifests.values())) for key in ("source", "licence", "split")},
        "seed": next(iter(manifests.values()))["seed"],
        **{
            split: [_moved(entry, below) for below, manifest in manifests.items() for entry in manifest[split]]
            for split in SPLITS
        },
    }
    _check_images(joined, folder)
    write_manifest(joined, out)
    logger.info("%s: %s", out, ", ".join(f"{len(joined[split])} {split}" for split in SPLITS))
    return joined


def _check_folder(folder: Path, below: str, others: Iterable[str]) -> None:
    """Refuse a folder that is not below the common one, or of which images may be another part's too."""
    steps, resolved = Path(below).parts, (folder / below).resolve()
    if not steps or Path(below).is_absolute() or ".." in steps:
        raise DataError(f"--parts {below}: is not below {folder}. Give the path of a folder in it.")
    if not resolved.is_dir():
        raise DataError(f"--parts {below}: {folder / below} is no folder. Give the folder of its images.")
    for other in others:
        there = (folder / other).resolve()
        if resolved.is_relative_to(there) or there.is_relative_to(resolved):
            raise DataError(f"--parts {below}: is the folder of {other}, or one is in the other. Give another folder.")


def _check_images(joined: dict[str, Any], folder: Path) -> None:
    """Refuse an image that comes twice, under whatever name: it would be that of two patients."""
    places: dict[str, str] = {}
    for split in SPLITS:
        for number, entry in enumerate(joined[split]):
            place = f"{split}[{number}]"
            for path in entry["image"] if isinstance(entry["image"], list) else [entry["image"]]:
                first = places.setdefault(os.path.realpath(folder / path), place)
                if first != place:
                    raise DataError(f"{folder / path}: is the image of {first} and of {place}. Leave one of them out.")


def _moved(entry: dict[str, Any], below: str) -> dict[str, Any]:
    """An entry with its paths relative to the folder above."""

    def moved(path: str | list[str]) -> str | list[str]:
        return [str(moved(one)) for one in path] if isinstance(path, list) else (Path(below) / path).as_posix()

    return {key: moved(value) if key in ("image", "label") else value for key, value in entry.items()}
