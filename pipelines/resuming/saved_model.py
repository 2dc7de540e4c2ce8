"""Writes a model's weights and what is said of them, which are two files, so that they fit whenever a kill comes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from networks import WeightsError, read_about, read_checkpoint
from transforms.files.atomic import atomic_path, atomic_write
from transforms.files.lock import locked

THEN = ", then "  # between the manifests that weights learnt from one after the other, in ``trained_on``


def write_model(weights: dict[str, Any], path: Path, about: dict[str, Any], about_path: Path) -> None:
    """Write a model and what it is, so that a kill at any moment leaves one that is described.

    Args:
        weights: a state dict.
        path: its file.
        about: what is said of it; the SHA-256 of the file is added.
        about_path: the JSON file for that. While the weights are replaced it describes the new ones and, under
            ``before``, the old ones, see :func:`networks.read_about`.
    """
    with atomic_path(path) as scratch:
        with open(scratch, "wb") as file:  # by its path, the temporary name would be in the file
            torch.save(weights, file)
        about = {**about, "sha256": _sha256(scratch)}
        with atomic_write(about_path) as text:
            json.dump({**about, "before": _described(path)}, text, indent=2)
    with atomic_write(about_path) as text:
        json.dump(about, text, indent=2)


def add_to_model(path: Path, sha256: str, fitted: dict[str, Any]) -> Path:
    """Note beside a model what was fitted to it after its training; what was noted before by another name stays.

    A new training writes its model's description anew, and so without it.

    Args:
        path: the file of weights.
        sha256: of the weights that it was fitted to.
        fitted: what was fitted, see :func:`networks.read_fitted`; what is None is taken out.

    Returns:
        the JSON file.

    Raises:
        WeightsError: if the weights are others by now, or not the ones that the JSON file beside them describes.
        DataError: if another run, such as a training, writes there.
        ValueError: if a number of it is not finite, which JSON does not have; the file stays as it was.
    """
    beside = path.with_suffix(".json")
    with locked(path.parent):
        read_checkpoint(path)
        if _sha256(path) != sha256:
            raise WeightsError(f"{path}: was replaced meanwhile. Give the same command again.")
        about = {**read_about(path, sha256), **fitted, "sha256": sha256}
        with atomic_write(beside) as text:
            json.dump(
                {name: value for name, value in about.items() if value is not None}, text, indent=2, allow_nan=False
            )
            text.write("\n")
    return beside


def _described(path: Path) -> dict[str, Any]:
    """What is said of a model that may be there, with its hash."""
    if not path.is_file():
        return {}
    sha256 = _sha256(path)
    try:
        return {**read_about(path, sha256), "sha256": sha256}
    except WeightsError:
        return {"sha256": sha256}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
