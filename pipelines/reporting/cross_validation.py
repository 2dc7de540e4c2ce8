"""Cross-validation of a bundle: each image is predicted once, by a model that has not seen its patient."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transforms import DataError, check_writable
from transforms.files.atomic import atomic_write

from ..bundle import Bundle
from ..manifests.manifest import read_manifest, write_manifest
from ..manifests.splits import SPLITS, split_patients
from .intervals import Interval, mean_interval

logger = logging.getLogger(__name__)

VALIDATION = 0.15  # of the patients that a fold does not test on


def cross_validate(
    bundle: Bundle,
    manifest: os.PathLike | str,
    dataset_dir: os.PathLike | str,
    output_dir: os.PathLike | str,
    folds: int = 5,
    seed: int = 0,
    overlays: Sequence[str] = (),
    evaluation: Sequence[str] = (),
    trained: os.PathLike | str | None = None,
    against: os.PathLike | str | None = None,
    **overrides: Any,
) -> dict[str, Any]:
    """Train and evaluate a bundle on each fold, and pool what was measured on each image.

    The patients of all splits of the manifest are divided again. A fold that was evaluated already is not run again, so
    the command can be stopped and repeated.

    Writes ``fold_K.json`` and ``fold_K/`` for each fold; ``images.csv``, a row an image; and
    ``cross_validation.json``: the mean Dice and IoU by image over positives, each with its 95 % interval by
    :func:`~pipelines.reporting.intervals.mean_interval`.

    Args:
        bundle: what is trained and evaluated; one that marks a single class.
        manifest: whose images are used.
        dataset_dir: what its paths are relative to.
        output_dir: where all goes.
        folds: how many.
        seed: of the folds and of each training.
        overlays: names of the bundle's overlays, such as ``usual_way``.
        evaluation: names of overlays of the evaluation alone, such as ``in_lungs``.
        trained: the output folder of another cross-validation with the same manifest, folds and seed, whose models are
            evaluated: nothing is trained.
        against: the output folder of another cross-validation with the same manifest, folds and seed: the mean
            difference to it, image by image, is reported with its interval too.
        overrides: of the configuration.

    Returns:
        what ``cross_validation.json`` holds.

    Raises:
        DataError: if there are fewer than three patients a fold, a fold fails, the folder holds the results of other
            settings, ``trained`` has other folds or ``against`` other images, or the bundle's evaluation gives no
            table of images.
    """
    output_dir = Path(output_dir)
    if not bundle.gives_probabilities:
        raise DataError(f"{bundle.root}: its evaluation has no table of images, so it cannot be cross-validated.")
    check_writable([output_dir])
    chosen = {"folds": folds, "seed": seed, "overlays": list(overlays), "evaluation": list(evaluation)}
    chosen |= {"trained": str(trained), **{key: str(value) for key, value in overrides.items()}}
    manifests = _write_folds(read_manifest(manifest), output_dir, chosen)
    if trained is not None:
        for fold, _ in manifests:
            _check_same_folds(fold, Path(trained) / fold.name)
    tables = []
    for number, (fold, entries) in enumerate(manifests):
        folder = output_dir / f"fold_{number}"
        report = folder / "test" / "images.csv"
        if not report.is_file():
            settings = {"manifest": fold, "dataset_dir": dataset_dir, "seed": seed, **overrides}
            settings |= {"ckpt_dir": Path(trained or output_dir) / folder.name / "models", "output_dir": folder}
            if trained is None:
                _run(bundle, ["train", *overlays], "training", settings)
            _run(bundle, ["train", *overlays, "evaluate", *evaluation], "evaluating", settings)
        table = pd.read_csv(report)
        # masks are named by their images, which are not named here: the numbers of case and patient are enough
        tables.append(table.assign(fold=number, patient=[entry["patient_id"] for entry in entries]))
    images = pd.concat(tables, ignore_index=True)
    with atomic_write(output_dir / "images.csv") as file:
        images.to_csv(file, index=False)
    positives = images[images["tp"] + images["fn"] > 0]
    result: dict[str, Any] = {"folds": folds, "seed": seed, "images": len(images), "positives": len(positives)}
    intervals: dict[str, Interval] = {}
    for metric in ("dice", "iou"):
        intervals[f"{metric}_by_image_over_positives"] = mean_interval(positives[metric], positives["patient"])
    if against is not None:
        intervals["dice_difference_by_image_over_positives"] = _difference(positives, Path(against), images)
    for name, value in [*result.items(), *intervals.items()]:
        logger.info("%s: %s", name, value)
    result |= {name: interval.as_dict() for name, interval in intervals.items()}
    with atomic_write(output_dir / "cross_validation.json") as file:
        json.dump(result, file, indent=2)
    return result


def _difference(positives: pd.DataFrame, against: Path, images: pd.DataFrame) -> Interval:
    path = against / "images.csv"
    if not path.is_file():
        raise DataError(f"{path}: no such file. Give the output folder of a cross-validation that was done.")
    other = pd.read_csv(path, dtype={"patient": str})
    same = ["fold", "case", "patient"]
    if not other[same].equals(images[same]):
        raise DataError(f"{path}: holds other images or folds. Cross-validate both with one manifest, folds and seed.")
    return mean_interval(positives["dice"] - other.loc[positives.index, "dice"], positives["patient"])


def _check_same_folds(fold: Path, trained: Path) -> None:
    lists = [[read_manifest(path)[split] for split in SPLITS] for path in (fold, trained)]
    if lists[0] != lists[1]:
        raise DataError(
            f"{trained}: is another fold than {fold}, so its model may have seen what it would be tested on. Give the "
            "manifest, the folds and the seed that it was made with."
        )


def _write_folds(manifest: dict[str, Any], folder: Path, chosen: dict[str, Any]) -> list[tuple[Path, list[dict]]]:
    """A manifest a fold, and its test entries; and the settings, which results that are there must have been made with.

    Raises:
        DataError: if there are too few patients, or the folder holds the results of other settings.
    """
    folds, seed = chosen["folds"], chosen["seed"]
    entries = _with_numbered_patients([entry for split in SPLITS for entry in manifest[split]])
    patients = sorted({entry["patient_id"] for entry in entries})
    if folds < 2 or len(patients) < 3 * folds:
        raise DataError(f"{folds} folds need at least 2 and three patients each; the manifest has {len(patients)}.")
    images = json.dumps(entries, sort_keys=True).encode()
    chosen = {**chosen, "images": hashlib.sha256(images).hexdigest()}
    settings = folder / "settings.json"
    if settings.is_file() and (found := json.loads(settings.read_text(encoding="utf-8"))) != chosen:
        differ = ", ".join(sorted(key for key in chosen | found if chosen.get(key) != found.get(key)))
        raise DataError(f"{folder}: holds a cross-validation with other settings ({differ}). Give another folder.")
    with atomic_write(settings) as file:
        json.dump(chosen, file, indent=2)
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


def _with_numbered_patients(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries in the order of their images, with a number for each patient.

    So a manifest that is made again, with another salt, is divided into the same folds.
    """
    entries = sorted(entries, key=lambda entry: entry["image"])
    numbers: dict[str, str] = {}
    for entry in entries:
        numbers.setdefault(entry["patient_id"], f"{len(numbers):06d}")
    return [entry | {"patient_id": numbers[entry["patient_id"]]} for entry in entries]


def _run(bundle: Bundle, names: Sequence[str], run_id: str, settings: dict[str, Any]) -> None:
    """A process for each run, as by hand, so that none inherits another's state."""
    arguments = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", str(bundle.files(names))]
    for key, value in {"bundle_root": bundle.root, **settings}.items():
        arguments += [f"--{key}", str(value)]
    if subprocess.run(arguments).returncode:
        raise DataError(f"{run_id} with {settings['manifest']} failed: see above. What other folds gave is kept.")
