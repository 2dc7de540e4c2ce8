"""Loading weights from a file, safely, with one message where they do not fit."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

logger = logging.getLogger(__name__)


class WeightsError(ValueError):
    """A file of weights is missing, damaged, or belongs to another network. The message says which, and the fix."""

    plain = True  # the message says it all: shown without a traceback


def read_checkpoint(path: os.PathLike | str) -> dict:
    """Load a file of ``torch.save``, or one named ``.safetensors``, without running any code from it, onto the CPU.

    Raises:
        WeightsError: if it is missing, or is not a dictionary of tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file. Train first, or give the file of another training.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file  # not everyone who runs a bundle has it, or needs it

            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise WeightsError(f"{path}: reading it needs the package safetensors: run pip install safetensors.") from error
    except Exception as error:  # torch.load fails in pickle, zipfile or its own ways
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"{path}: cannot be loaded as weights ({reason}). Copy it again, or train again.") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not a state dict. Give another file.")
    return content


def load_weights(network: nn.Module, path: os.PathLike | str, **settings: Any) -> nn.Module:
    """Load a state dict into a network; every name and shape must fit.

    Args:
        network: any module; its parameters keep their device.
        path: a file of ``torch.save(network.state_dict(), path)``. If there is a JSON file of the same name beside
            it, what it says of the weights goes into the log.
        settings: what the network will be used with and its weights do not hold, such as ``image_size``. Where that
            JSON file says that another value was trained with, the weights are refused.

    Returns:
        ``network``

    Raises:
        WeightsError: as :func:`read_checkpoint`, if the JSON file is damaged, or if the weights are those of another
            network or other settings.
    """
    check_fits(network, state := read_checkpoint(path), path)
    about = read_about(Path(path).with_suffix(".json"))
    trained_with = about.pop("settings", {})
    for name, value in settings.items():
        if trained_with.get(name, value) != value:
            raise WeightsError(
                f"{path}: was trained with {name} {trained_with[name]}, and {value} is configured: give --{name} "
                f"{trained_with[name]}, or other weights."
            )
    network.load_state_dict(state)
    if about:
        logger.info("%s: %s", path, ", ".join(f"{k} {v}" for k, v in (about | trained_with).items()))
    return network


def read_about(path: os.PathLike | str) -> dict[str, Any]:
    """What a JSON file says of the weights beside it.

    Returns:
        its content, in which ``settings`` are a dictionary; nothing if there is no such file.

    Raises:
        WeightsError: if the file is damaged.
    """
    path = Path(path)
    try:
        about = json.loads(path.read_text()) if path.is_file() else {}
    except (ValueError, RecursionError) as error:  # neither text nor JSON
        raise WeightsError(f"{path}: is not JSON ({error}). Copy it again, beside the weights.") from error
    if not isinstance(about, dict) or not isinstance(about.get("settings", {}), dict):
        raise WeightsError(f"{path}: holds something else than what weights are. Copy it again.")
    return about


def check_fits(network: nn.Module, state: dict, path: os.PathLike | str) -> None:
    """Compare a state dict with a network before anything is changed.

    Raises:
        WeightsError: with how many names or shapes differ, and the first of them.
    """
    own = network.state_dict()
    differences = [f"it lacks {name}" for name in own if name not in state]
    differences += [f"{name} is in the file alone" for name in state if name not in own]
    differences += [
        f"{name} is {tuple(state[name].shape)} in the file and {tuple(value.shape)} in the network"
        for name, value in own.items()
        if isinstance(state.get(name), torch.Tensor) and state[name].shape != value.shape
    ]
    if differences:
        raise WeightsError(
            f"{path}: the weights are those of another network than the configured {type(network).__name__}: "
            f"{len(differences)} differences, the first: {differences[0]}. Give the weights of this network, or set "
            "network_def as it was when they were trained."
        )
