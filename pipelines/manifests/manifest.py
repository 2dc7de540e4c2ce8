"""The manifest: which files, which patient, which split, what is the truth. Reading, checking, writing.

Its fields are in data_manifests/manifest.schema.json. Knows no data set by name.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from transforms import CTReader, DataError, RadiographReader
from transforms.files.atomic import atomic_write

from ..schemas import fault_of
from .splits import SPLITS

SCHEMA = Path(__file__).resolve().parents[2] / "data_manifests" / "manifest.schema.json"  # installed beside pipelines


def read_manifest(path: os.PathLike | str) -> dict[str, Any]:
    """Read a manifest and check it. A file that has not changed is checked once.

    Raises:
        DataError: if it is missing, is not JSON, breaks the schema, or has a patient in two splits.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"{path}: no such manifest. Make one with: python -m pipelines manifest KIND DIR --out FILE (see "
            "--help for the kinds), and give it with --manifest FILE."
        )
    return _read_manifest(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)  # the schema takes seconds on tens of thousands of entries, and each split is asked for
def _read_manifest(path: Path, modified: int) -> dict[str, Any]:
    try:
        manifest, schema = json.loads(path.read_text(encoding="utf-8")), json.loads(SCHEMA.read_text(encoding="utf-8"))
        fault = fault_of(manifest, schema)
    except (ValueError, RecursionError) as error:  # the latter where lists are nested a thousand deep
        raise DataError(f"{path}: is not JSON ({error}). Make it again with: python -m pipelines manifest.") from error
    if fault is not None:
        raise DataError(
            f"{path}: is not a manifest of version 1: at manifest{fault}. Correct it as data_manifests/README.md says, "
            "or make it again with: python -m pipelines manifest."
        )
    _check_patients(manifest, path)
    return manifest


def _check_patients(manifest: dict[str, Any], path: Path) -> None:
    split_of: dict[str, str] = {}
    for split in SPLITS:
        for number, entry in enumerate(manifest[split]):
            first = split_of.setdefault(entry["patient_id"], split)
            if first != split:
                raise DataError(
                    f"{path}: the patient of {split}[{number}] is in {first} too. A patient belongs to one split: move "
                    "all of the patient's entries into one."
                )


def write_manifest(manifest: dict[str, Any], path: os.PathLike | str) -> None:
    """Write a manifest, atomically, one entry a line."""
    head = json.dumps({k: v for k, v in manifest.items() if k not in SPLITS}, indent=2)
    lists = ",\n".join(
        f'  "{split}": [\n' + ",\n".join(f"    {json.dumps(entry)}" for entry in manifest[split]) + "\n  ]"
        for split in SPLITS
    )
    with atomic_write(path) as file:
        file.write(f"{head[:-2]},\n{lists}\n}}\n")


def manifest_hash(manifest: dict[str, Any]) -> str:
    """The SHA-256 of what a manifest says, its patients by number: made again with another salt it is the same."""
    numbers: dict[str, int] = {}
    lists = {
        split: [{**entry, "patient_id": numbers.setdefault(entry["patient_id"], len(numbers))} for entry in entries]
        for split, entries in ((split, manifest[split]) for split in SPLITS)
    }
    return hashlib.sha256(json.dumps(manifest | lists, sort_keys=True).encode()).hexdigest()


def is_counted(entry: Mapping[str, Any]) -> bool:
    """Whether figures are of an entry: not if its mask counts in what lies behind the heart, as no model's does."""
    return not entry.get("behind_heart", False)


def left_out(number: int) -> str:
    """What is added to the words for a split of which entries do not count; nothing if all do.

    Args:
        number: of entries that :func:`is_counted` is not true of.
    """
    return f"; {number} left out, whose masks count in what lies behind the heart" if number else ""


class DataList(list):
    """MONAI's data list that knows where it is from.

    Args:
        entries: as of :func:`datalist`.
        name: of the manifest.
        patients: of each entry, a number for who it is of.
        source: the manifest's file, and what its paths are relative to.
        split: of the manifest.
    """

    def __init__(
        self,
        entries: Sequence[dict[str, Any]],
        name: str,
        patients: Sequence[int],
        source: tuple[Path, Path],
        split: str,
    ):
        super().__init__(entries)
        self.name = name
        self.split = split
        self.patients = list(patients)
        self.source = source


def datalist(
    manifest: os.PathLike | str,
    dataset_dir: os.PathLike | str,
    split: str,
    reader: RadiographReader | CTReader | None = None,
    task: str | None = None,
) -> DataList:
    """One split of a manifest as MONAI's data list.

    Args:
        manifest: its file.
        dataset_dir: what its paths are relative to.
        split: training, validation or test.
        reader: where given, it opens each file, so that none is refused half-way through.
        task: where given, what the manifest must be made for.

    Returns:
        entries of ``image`` (a whole path), the truth, ``boxes`` or ``label`` (a whole path), and where they are given
        ``sha256`` and ``behind_heart``.

    Raises:
        DataError: as :func:`read_manifest`; if it is made for another task; if the split is empty, or has no positive
            to train or validate with; or if files are missing or refused, with the first of them.
    """
    content = read_manifest(manifest)
    if task is not None and content["task"] != task:
        raise DataError(
            f"{manifest}: its task is {content['task']}, this bundle's is {task}. Give a manifest made for {task}."
        )
    entries = content[split]
    if not entries:
        raise DataError(f"{manifest}: its {split} list is empty. Make it with more patients or another split.")
    if split != "test" and not any("label" in entry or entry["boxes"] for entry in entries):
        raise DataError(
            f"{manifest}: no entry of its {split} list has a box, so there is no Dice to choose a model by. Make it "
            "with more patients or another split."
        )
    root = Path(dataset_dir)
    found = [
        {
            key: _below(root, entry[key]) if key in ("image", "label") else entry[key]
            for key in ("image", "label", "boxes", "sha256", "behind_heart")
            if key in entry
        }
        for entry in entries
    ]
    missing = [
        path
        for entry in found
        for paths in (entry["image"], entry.get("label", []))
        for path in ([paths] if isinstance(paths, str) else paths)
        if not os.path.exists(path)
    ]
    if missing:
        raise DataError(
            f"{missing[0]}: no such file ({len(missing)} of the {split} files of {manifest} are missing). Give the "
            "folder that the manifest was made of with --dataset_dir, or make the manifest again."
        )
    if reader is not None:
        with ThreadPoolExecutor() as pool:
            for _ in pool.map(lambda entry: reader.open(entry["image"]), found):
                pass
    numbers: dict[str, int] = {}
    patients = [numbers.setdefault(entry["patient_id"], len(numbers)) for entry in entries]
    return DataList(found, content["name"], patients, (Path(manifest), root), split)


def images_of(entries: Sequence[Mapping[str, Any]], dataset_dir: os.PathLike | str) -> list[str | list[str]]:
    """The whole paths of the images of entries."""
    return [_below(Path(dataset_dir), entry["image"]) for entry in entries]


def _below(root: Path, paths: str | list[str]) -> str | list[str]:
    return [str(root / path) for path in paths] if isinstance(paths, list) else str(root / paths)
