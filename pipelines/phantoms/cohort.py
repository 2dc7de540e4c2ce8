"""A cohort of phantoms in a folder: drawn once, complete or not there at all, and never taken for patients."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pydicom
from ignite import distributed as idist

from transforms import DataError

from ..manifests.manifest import read_manifest
from ..manifests.splits import SPLITS

logger = logging.getLogger(__name__)

NAME = "phantoms"  # of their manifests
IN_FILE_FORMAT = {"enforce_file_format": True} if pydicom.__version_info__[0] >= "3" else {"write_like_original": False}


def draw_once(
    folder: os.PathLike | str, draw: Callable[[Path], None], settings: dict[str, str | int], kind: str
) -> str:
    """Draw a cohort of phantoms into a folder unless they are there already; it appears only once it is complete.

    Args:
        folder: the cohort's.
        draw: draws into the path that it is given, and ends with ``manifest.json``.
        settings: ``task``, ``seed`` and ``patients`` that a cohort already there must have.
        kind: of the manifest that a user would make of own data.

    Returns:
        ``folder``

    Raises:
        DataError: if the folder holds anything else; nothing in it is touched.
    """
    folder = Path(folder)
    with idist.one_rank_first():  # where several processes train: the others find what it drew
        if folder.is_dir() and any(folder.iterdir()):
            _check_is_cohort(folder, settings)
        else:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                drawn = Path(scratch) / folder.name
                draw(drawn)
                os.replace(drawn, folder)
    logger.warning(
        "These are PHANTOMS: drawn images in %s. The model will know nothing about patients. For your own data: "
        "python -m pipelines manifest %s DIR --out FILE, then add --dataset_dir DIR --manifest FILE.",
        folder,
        kind,
    )
    return str(folder)


def check_numbers(patients: int, size: int, seed: int, least: int) -> None:
    """Check what a cohort is to be drawn with; ``least`` is the smallest size that can be drawn.

    Raises:
        DataError: if a number cannot be.
    """
    for name, value, low in (("patients", patients, 1), ("size", size, least), ("seed", seed, 0)):
        if type(value) is not int or value < low:
            raise DataError(f"{name} of phantoms is {value!r}: give a whole number from {low} on.")


def _check_is_cohort(folder: Path, settings: dict[str, str | int]) -> None:
    try:
        manifest = read_manifest(folder / "manifest.json")
    except DataError:
        manifest = {"name": "something else"}
    if manifest["name"] != NAME:
        raise DataError(f"{folder}: holds something else than phantoms. Give an empty or a new folder for them.")
    patients = {entry["patient_id"] for split in SPLITS for entry in manifest[split]}
    if {"task": manifest["task"], "seed": manifest["seed"], "patients": len(patients)} != settings:
        raise DataError(f"{folder}: holds phantoms drawn with other settings. Delete it, or give another folder.")
