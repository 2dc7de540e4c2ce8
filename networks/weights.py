"""Loading weights from a file, safely, with one message where they do not fit."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import zipfile
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

logger = logging.getLogger(__name__)

# What a JSON file beside weights may hold of what was fitted to them after their training
FITTED = {"temperature", "quality", "calibrated_on", "calibrated_images", "classifier"}
UNLOGGED = FITTED | {"trained_images"}  # of what is said of weights, what is too long for the log
TASK = "task"  # the setting that tells one bundle's weights from another's, whose network may be the same
_loaded: WeakKeyDictionary[nn.Module, Path] = WeakKeyDictionary()


class WeightsError(ValueError):
    """A file of weights is missing, damaged, or belongs to another network. The message says which, and the fix."""

    plain = True  # the message says it all: shown without a traceback


def read_checkpoint(path: os.PathLike | str, force: bool = False) -> dict:
    """Load a file of ``torch.save``, or one named ``.safetensors``, without running any code from it, onto the CPU.

    Args:
        path: the file. If the JSON file of the same name beside it holds a SHA-256, that must be the file's.
        force: load it though it is another, and say so.

    Raises:
        WeightsError: if it is missing, is not a dictionary of tensors and plain values, or is not the file that the
            JSON file describes.
    """
    return _read(Path(path), force)[0]


def _read(path: Path, force: bool) -> tuple[dict, dict[str, Any]]:
    """A file of weights, and what the JSON file beside it says of it."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file. Train first, or give the file of another training.")
    data = path.read_bytes()  # what is compared is what is loaded
    sha256 = hashlib.sha256(data).hexdigest()
    if about := read_about(path, sha256):
        _check_hash(path, about.pop("sha256", None), sha256, force)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load  # not everyone who runs a bundle has it, or needs it

            content = load(data)
        else:
            _check_memory(data)
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except ImportError as error:
        raise WeightsError(f"{path}: reading it needs the package safetensors: run pip install safetensors.") from error
    except Exception as error:  # torch.load fails in pickle, zipfile or its own ways
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path}: cannot be loaded as weights ({reason}). Copy it again, or train again.") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not a state dict. Give another file.")
    return content, about


def _check_memory(data: bytes) -> None:
    """Check that what :func:`torch.load` makes of a file is about as large as the file.

    Raises:
        ValueError: if its parts are compressed or overlap, as torch never writes them, or if its pickle makes an array
            of bytes, which is the one call that torch allows and that takes any size without data.
    """
    if b"\nbytearray\n" in data:
        raise ValueError("its pickle asks for memory that it does not fill")
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise ValueError("it is compressed")
        if sum(part.file_size for part in parts) > len(data):
            raise ValueError("its parts overlap")


def read_about(path: os.PathLike | str, sha256: str | None = None) -> dict[str, Any]:
    """What the JSON file of the same name beside a file of weights says of it; nothing if there is none.

    Args:
        path: the file of weights.
        sha256: its hash. While a training replaces a model, the JSON file describes the new one and, under ``before``,
            the old one, so that whichever is there after a kill is described: by its hash the right one is found.

    Raises:
        WeightsError: if the JSON file is damaged.
    """
    beside = Path(path).with_suffix(".json")
    if not beside.is_file():
        return {}
    try:
        about = json.loads(beside.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # neither text nor JSON
        raise WeightsError(f"{beside}: is not JSON ({error}). Copy it again, beside the weights.") from error
    before = about.pop("before", {}) if isinstance(about, dict) else {}
    if not isinstance(about, dict) or not isinstance(before, dict) or not isinstance(about.get("settings", {}), dict):
        raise WeightsError(f"{beside}: holds a {type(about).__name__}, not what weights are. Copy it again.")
    return before if sha256 is not None and before.get("sha256") == sha256 else about


def read_fitted(path: os.PathLike | str) -> dict[str, Any]:
    """What was fitted to a model after its training, as the JSON file beside it holds it.

    Args:
        path: the file of weights.

    Returns:
        ``temperature``, ``quality``, ``calibrated_on``, ``calibrated_images`` and ``classifier``, as far as they are
        there; nothing if the weights are not the ones that the JSON file describes, since of others it says nothing.

    Raises:
        WeightsError: as :func:`read_about`.
    """
    about = read_about(path)
    if not FITTED & about.keys() or not Path(path).is_file():
        return {}
    if about.get("sha256") != hashlib.sha256(Path(path).read_bytes()).hexdigest():
        return {}
    return {name: about[name] for name in FITTED & about.keys()}


def _check_hash(path: Path, told: str | None, sha256: str, force: bool) -> None:
    beside = path.with_suffix(".json").name
    if told is None:
        logger.warning("%s: damage would not be seen, since %s does not hold its SHA-256", path, beside)
    elif told != sha256:
        fault = f"is damaged, or not the file that {beside} describes"
        figures = f"its SHA-256 begins with {sha256[:12]}, and {beside} was written for {str(told)[:12]}"
        if not force:
            fix = "Copy both again; or load it all the same with --force_weights True."
            raise WeightsError(f"{path}: {fault}: {figures}. {fix}")
        logger.warning("%s: %s, AND IS LOADED ALL THE SAME: %s", path, fault.upper(), figures)


def load_weights(network: nn.Module, path: os.PathLike | str, force: bool = False, **settings: Any) -> nn.Module:
    """Load a state dict into a network; every name and shape must fit, and every value must be finite.

    Args:
        network: any module; its parameters keep their device.
        path: a file of ``torch.save(network.state_dict(), path)``. If there is a JSON file of the same name beside
            it, what it says of the weights goes into the log.
        force: as of :func:`read_checkpoint`.
        settings: what the network will be used with and its weights do not hold, such as ``image_size``. Where that
            JSON file says that another value was trained with, the weights are refused.

    Returns:
        ``network``

    Raises:
        WeightsError: as :func:`read_checkpoint` and :func:`check_fits`, or if the weights are those of other settings.
    """
    state, about = _read(Path(path), force)
    check_fits(network, state, path)
    trained_with = about.pop("settings", {})
    if settings and not trained_with:
        told = Path(path).with_suffix(".json").name
        logger.warning(
            "%s: no %s beside it tells what it was trained with: %s are not checked", path, told, ", ".join(settings)
        )
    about = {name: value for name, value in about.items() if name not in UNLOGGED}
    for name, value in settings.items():
        if trained_with.get(name, value) != value:
            mend = "weights of this task" if name == TASK else f"--{name} {trained_with[name]}, or other weights"
            raise WeightsError(
                f"{path}: was trained with {name} {trained_with[name]}, and {value} is configured: give {mend}."
            )
    network.load_state_dict(state)
    _loaded[network] = Path(path)
    if about:
        logger.info("%s: %s", path, ", ".join(f"{k} {v}" for k, v in (about | trained_with).items()))
    return network


def loaded_from(network: nn.Module) -> Path | None:
    """The file that :func:`load_weights` last loaded into a network; None: none."""
    return _loaded.get(network)


def check_fits(network: nn.Module, state: dict, path: os.PathLike | str) -> None:
    """Compare a state dict with a network before anything is changed.

    Raises:
        WeightsError: with how many names or shapes differ, and the first of them; or which value is not finite.
    """
    own = network.state_dict()
    differences = [f"it lacks {name}" for name in own if name not in state]
    differences += [f"{name} is in the file alone" for name in state if name not in own]
    shared = [(name, state[name], value) for name, value in own.items() if name in state]
    differences += [
        f"{name} is {_kind(stored)} in the file and {_kind(value)} in the network"
        for name, stored, value in shared
        if _kind(stored) != _kind(value)
    ]
    if differences:
        raise WeightsError(
            f"{path}: the weights are those of another network than the configured {type(network).__name__}: "
            f"{len(differences)} differences, the first: {differences[0]}. Give the weights of this network, or set "
            "network_def as it was when they were trained."
        )
    for name, stored, value in shared:
        held = stored.to(value.dtype) if value.is_floating_point() else stored  # as it will be in the network
        if not torch.isfinite(held).all():
            raise WeightsError(
                f"{path}: {name} holds values that are not finite: the file is damaged, or its training diverged. Copy "
                "it again, or train with a smaller learning_rate."
            )


def _kind(value: Any) -> str:
    """What two values must have in common for one to be loaded into the other."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    return str(tuple(value.shape))
