"""What figures were made with, so that whoever reads them later can tell: data, weights, software, machine, date."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from transforms import calling_parser

from .manifests.manifest import DataList, datalist, images_of, is_counted, manifest_hash, read_manifest
from .manifests.splits import SPLITS
from .resuming.fingerprint import images, reached
from .resuming.sample import found_of

PACKAGES = ("radbundles", "monai", "torch", "numpy", "scipy", "scikit-learn", "pydicom")
ROOTS = ("validate#evaluator",)  # what an evaluation's figures depend on: this key and all that it refers to, without
LEFT_OUT = (
    # where things are; weights, manifest and files are compared by themselves
    *("bundle_root", "ckpt_dir", "output_dir", "cache_dir", "dataset_dir", "manifest", "phantoms", "split"),
    *("weights", "force_weights"),
    *("device", "compile", "num_workers", "pin_memory", "is_not_rank0"),  # what computes them
)
SETTINGS = {"overlays": "overlays", "evaluation": "evaluation", "image_size": "image_size"}  # that are told, by key
SETTINGS |= {"unknown_spacing": "reader#unknown_spacing"}
# Options that may be shown, and those of which only that they were given
SHOWN: tuple[str, ...] = ("split", "overlays", "evaluation", "image_size", "unknown_spacing", "force_weights")
SHOWN += ("folds", "seed", "epochs", "threshold", "keep_test")
PLACES = {"trained": "OTHER"}
OVERRIDES = "overrides"


def evaluated(
    data: Sequence[Any],
    weights: os.PathLike | str | None,
    device: torch.device | str = "cpu",
    configured: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What ``metrics.json`` says under ``evaluated``; it names no file and no patient.

    Args:
        data: the data list that is evaluated. One that is not of :func:`pipelines.datalist` is of no known manifest.
        weights: the file of weights; None or a file that is not there is unknown.
        device: that computes.
        configured: how it is evaluated, see :func:`configured_as`; None is unknown.
    """
    told: dict[str, Any] = {"data": None, "split": None, "manifest": None}
    if isinstance(data, DataList):
        told = {"data": data.name, "split": data.split, "manifest": manifest_hash(read_manifest(data.source[0]))}
        told["files"] = _hash(images(data))
    return {**told, "weights": weights_hash(weights), **(configured or {}), **surroundings(device)}


def configured_as(parser: ConfigParser | None = None) -> dict[str, Any]:
    """How a configuration evaluates, to be told and to be compared.

    Args:
        parser: the configuration; None: that which the caller is a component of.

    Returns:
        ``settings``, those of SETTINGS that the configuration has, with overlays by their names, which are known where
        a command of this project runs it; and ``configuration``, the hash of all that the figures depend on. Nothing if
        there is no configuration.
    """
    parser = parser or calling_parser()
    if parser is None:
        return {}
    settings = {name: parser.get(key) for name, key in SETTINGS.items() if parser.get(key) is not None}
    values = reached(parser, ROOTS, LEFT_OUT)
    # what has been parsed says :: where it was written #
    plain = {key: value.replace("::", "#") if isinstance(value, str) else value for key, value in values.items()}
    return {"settings": settings, "configuration": _hash(plain)}


def surroundings(device: torch.device | str = "cpu") -> dict[str, Any]:
    """The versions of the packages that figures depend on, the machine, and the date (UTC)."""
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": _machine(torch.device(device)),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def surroundings_of(folders: Sequence[Path]) -> dict[str, Any]:
    """The :func:`surroundings` of evaluations as one, each kind of them, and the last date.

    Args:
        folders: of the evaluations, with ``metrics.json``.
    """
    told = [json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["evaluated"] for folder in folders]
    packages = dict.fromkeys(name for one in told for name in one["versions"])
    return {
        "versions": {name: _each(one["versions"].get(name, "none") for one in told) for name in packages},
        "machine": _each(one["machine"] for one in told),
        "date": max(one["date"] for one in told),
    }


def _each(values: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(values))


def weights_hash(weights: os.PathLike | str | Sequence[os.PathLike | str] | None) -> str | None:
    """The SHA-256 of a file of weights, or None if it is not there; of an ensemble's files, that of theirs in order."""
    if weights is None:
        return None
    if not isinstance(weights, str | os.PathLike):
        each = [weights_hash(file) for file in weights]
        return None if None in each else _hash(each)
    if not Path(weights).is_file():
        return None
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest()


def is_of(folder: Path, parser: ConfigParser) -> bool:
    """Whether a folder holds the evaluation that a configuration would make.

    The same are weights, split, manifest, files by name and size, how many entries count, and all of the configuration
    that figures depend on: thresholds, overlays, the size of the image. False too where that is not known: of an
    earlier version, or of weights that are not there.

    Raises:
        DataError: if the manifest is refused, or its files are missing.
    """
    try:
        told = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["evaluated"]
        found = [told[name] for name in ("weights", "split", "manifest", "configuration", "files")]
        left_out = told.get("left_out", 0)
    except (OSError, ValueError, KeyError, TypeError):  # none, damaged, or of an earlier version: made again
        return False
    weights, manifest, root, split = (
        parser.get_parsed_content(key) for key in ("weights", "manifest", "dataset_dir", "split")
    )
    digest = weights_hash(weights)
    same = [digest, split, manifest_hash(read_manifest(manifest)), configured_as(parser)["configuration"]]
    if digest is None or found[:4] != same:
        return False
    data = datalist(manifest, root, split)
    return found[4] == _hash(images(data)) and left_out == sum(not is_counted(entry) for entry in data)


def learnt_from(
    sample: Sequence[str] | None, manifest: Mapping[str, Any], dataset_dir: os.PathLike | str, split: str
) -> dict[str, int] | None:
    """Whether weights have learnt from images of a manifest, whatever it is called.

    Args:
        sample: of the images that they have learnt from, see :func:`pipelines.resuming.sample.sample_of`.
        manifest: that is measured.
        dataset_dir: what its paths are relative to.
        split: of it that is measured.

    Returns:
        how many images the ``sample`` has, how many of them are ``in_manifest``, and how many are ``measured``, those
        that count in no figure left out. None if there is no sample, or not all of the manifest's files are here.
    """
    measured = images_of([entry for entry in manifest[split] if is_counted(entry)], dataset_dir)
    if not sample:
        return None
    try:
        found = found_of(sample, images_of([entry for name in SPLITS for entry in manifest[name]], dataset_dir))
        return {"sample": len(sample), "in_manifest": found, "measured": found_of(sample, measured)}
    except OSError:
        return None


def shown_command(verb: str, bundle: str, settings: Mapping[str, Any]) -> str:
    """A command that makes figures again, as a report shows it: without names of files, which may name somebody.

    Args:
        verb: of the command line.
        bundle: its name.
        settings: of the command by name; those that are not to be shown are left out.
    """
    words = ["python -m pipelines", verb, bundle, "--dataset_dir DATA --manifest manifest.json"]
    for name, value in shown_settings(settings).items():
        option = f"--{name}"
        if name == OVERRIDES:
            words += [f"--override {key} {shlex.quote(str(given))}" for key, given in value.items()]
        elif value is not None and value is not False and value != []:
            told = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            words.append(
                f"{option} {PLACES[name]}" if name in PLACES else option if value is True else f"{option} {told}"
            )
    return " ".join(words)


def shown_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a command's settings that name no file, by their option; of some that do, whether they were given.

    Under OVERRIDES are keys of a configuration; a text as a value, which may name a file, is VALUE.
    """
    shown: dict[str, Any] = {}
    for key, value in settings.items():
        name = key.rpartition("#")[2]
        if name in PLACES and value is not None:
            shown[name] = True
        elif name in SHOWN:
            shown[name] = list(value) if isinstance(value, tuple) else value
        elif name == OVERRIDES:
            told = {key: value[key] for key in value if key not in LEFT_OUT}
            shown |= {name: {key: _without_text(key, one) for key, one in told.items()}} if told else {}
    return shown


def _without_text(key: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_without_text(key, one) for one in value]
    return value if isinstance(value, bool | int | float) or not value or key.endswith("_target_") else "VALUE"


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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
