"""What figures were made with, so that whoever reads them later can tell: data, weights, software, machine, date."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from .manifests.manifest import DataList, manifest_hash, read_manifest

PACKAGES = ("radbundles", "monai", "torch", "numpy", "scipy", "scikit-learn", "pydicom")


def evaluated(
    data: Sequence[Any], weights: os.PathLike | str | None, device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """What ``metrics.json`` says under ``evaluated``; it names no file and no patient.

    Args:
        data: the data list that is evaluated. One that is not of :func:`pipelines.datalist` is of no known manifest.
        weights: the file of weights; None or a file that is not there is unknown.
        device: that computes.
    """
    told: dict[str, Any] = {"data": None, "split": None, "manifest": None}
    if isinstance(data, DataList):
        told = {"data": data.name, "split": data.split, "manifest": manifest_hash(read_manifest(data.source[0]))}
    return {**told, "weights": weights_hash(weights), **surroundings(device)}


def surroundings(device: torch.device | str = "cpu") -> dict[str, Any]:
    """The versions of the packages that figures depend on, the machine, and the date (UTC)."""
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": _machine(torch.device(device)),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def weights_hash(weights: os.PathLike | str | None) -> str | None:
    """The SHA-256 of a file of weights, or None if it is not there."""
    if weights is None or not Path(weights).is_file():
        return None
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest()


def is_of(folder: Path, weights: Path, manifest: os.PathLike | str, split: str) -> bool:
    """Whether a folder holds the evaluation of these weights on this split of this manifest.

    False too where that is not known: of an earlier version, or of weights that are not there.
    """
    path = folder / "metrics.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))["evaluated"]
        same = (told["weights"], told["manifest"], told["split"])
    except (OSError, ValueError, KeyError, TypeError):  # none, damaged, or of an earlier version: made again
        return False
    digest = weights_hash(weights)
    return digest is not None and same == (digest, manifest_hash(read_manifest(manifest)), split)


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a packaged bundle runs without this project
            continue
    return found


def _machine(device: torch.device) -> str:
    """The GPU, or the processor and its cores; never the host's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = (line.partition(":") for line in cpuinfo.read_text(encoding="utf-8").splitlines())
        name = next((value.strip() for key, _, value in lines if key.strip() == "model name"), name)
    return f"{name}, {os.cpu_count()} cores"
