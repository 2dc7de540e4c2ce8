"""The folds of a cross-validation: a manifest each, in which no patient is in two splits."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from transforms import DataError
from transforms.files.atomic import atomic_write

from ..manifests.manifest import read_manifest, write_manifest
from ..manifests.splits import SPLITS, split_patients

VALIDATION = 0.15  # of the patients that a fold does not test on
KEPT = "kept_test.json"  # the manifest of the test split that no fold has


def check_same_folds(fold: Path, trained: Path) -> None:
    """Check that two folds have the same images in the same splits.

    Raises:
        DataError: if not.
    """
    lists = [[read_manifest(path)[split] for split in SPLITS] for path in (fold, trained)]
    if lists[0] != lists[1]:
        raise DataError(
            f"{trained}: is another fold than {fold}, so its model may have seen what it would be tested on. Give the "
            "manifest, the folds and the seed that it was made with."
        )


def write_folds(manifest: dict[str, Any], folder: Path, chosen: dict[str, Any]) -> list[tuple[Path, list[dict]]]:
    """A manifest a fold, and its test entries; and the settings, which results that are there must have been made with.

    With ``keep_test`` among the settings the folds are made of training and validation, and the manifest's test split
    goes into ``KEPT``, a manifest of its own.

    Raises:
        DataError: if there are too few patients, no test split to keep, or the folder holds the results of other
            settings.
    """
    folds, seed = chosen["folds"], chosen["seed"]
    numbered = _with_numbered_patients([(split, entry) for split in SPLITS for entry in manifest[split]])
    kept = [entry for split, entry in numbered if split == "test"] if chosen.get("keep_test") else []
    if chosen.get("keep_test") and not kept:
        raise DataError("--keep_test: the manifest's test split is empty. Leave it out, or give another manifest.")
    entries = [entry for split, entry in numbered if not (kept and split == "test")]
    patients = sorted({entry["patient_id"] for entry in entries})
    if folds < 2 or len(patients) < 3 * folds:
        has = f"the manifest has {len(patients)}{' without its test split' if kept else ''}"
        raise DataError(f"{folds} folds need at least 2 and three patients each; {has}.")
    images = json.dumps(entries, sort_keys=True).encode()
    chosen = {**chosen, "images": hashlib.sha256(images).hexdigest()}
    settings = folder / "settings.json"
    if settings.is_file() and (found := json.loads(settings.read_text(encoding="utf-8"))) != chosen:
        differ = ", ".join(sorted(key for key in chosen | found if chosen.get(key) != found.get(key)))
        raise DataError(f"{folder}: holds a cross-validation with other settings ({differ}). Give another folder.")
    with atomic_write(settings) as file:
        json.dump(chosen, file, indent=2)
    if kept:
        head = manifest | {"split": "test of the whole, which no fold has"}
        write_manifest(head | {"training": [], "validation": [], "test": kept}, folder / KEPT)
    groups = np.array_split(np.random.default_rng(seed).permutation(patients), folds)
    written = []
    for number, group in enumerate(groups):
        tested = set(map(str, group))
        others = [patient for patient in patients if patient not in tested]
        split_of = split_patients(others, ["all"] * len(others), (1 - VALIDATION, VALIDATION, 0), seed)
        split_of |= dict.fromkeys(tested, "test")
        head = manifest | {"seed": seed, "split": f"fold {number} of {folds}, by patient"}
        lists = {split: [entry for entry in entries if split_of[entry["patient_id"]] == split] for split in SPLITS}
        path = folder / f"fold_{number}.json"
        write_manifest(head | lists, path)
        written.append((path, lists["test"]))
    return written


def _with_numbered_patients(entries: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """The entries, each with its split, in the order of their images, with a number for each patient.

    So a manifest that is made again, with another salt, is divided into the same folds.
    """
    entries = sorted(entries, key=lambda pair: pair[1]["image"])
    numbers: dict[str, str] = {}
    for _, entry in entries:
        numbers.setdefault(entry["patient_id"], f"{len(numbers):06d}")
    return [(split, entry | {"patient_id": numbers[entry["patient_id"]]}) for split, entry in entries]
