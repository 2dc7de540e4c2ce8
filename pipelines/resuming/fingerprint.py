"""What a training's result depends on, its configuration and its data, so that two trainings can be compared."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ReferenceResolver

from transforms import calling_parser

# Keys that the trainer, and the validation that chooses the best model, are made of: these and all that they refer to
ROOTS = ("seed", "train#trainer", "validate#evaluator", "val_interval", "lr_scheduler")
# Among them what may be different when a training continues:
LEFT_OUT = (
    # where things are; the images are compared one by one
    *("bundle_root", "ckpt_dir", "output_dir", "cache_dir", "train#dataset#cache_dir", "validate#dataset#cache_dir"),
    *("phantoms", "dataset_dir", "manifest", "train#dataset#data", "validate#dataset#data"),
    # how long it trains; a schedule that was planned for another length is warned of when it is loaded
    *("epochs", "train#trainer#max_epochs", "patience"),
    # what computes it: another machine gives the same but for rounding, and a GPU has other noise than a CPU. Precision
    # is more than that, and compared
    *("device", "compile", "num_workers", "pin_memory", "is_not_rank0"),
    # what only measures and logs. The handlers that do more, validation and schedule, have keys of their own
    *("train#handlers", "validate#handlers", "train#key_metric", "train#additional_metrics"),
    "validate#additional_metrics",
)
SHOWN = 10  # differences


def configuration() -> dict[str, Any]:
    """The values that a training's result depends on, of the configuration that the caller is a component of.

    Returns:
        as :func:`reached`; nothing if no parser made the caller.
    """
    parser = calling_parser()
    return {} if parser is None else reached(parser, ROOTS, LEFT_OUT)


def reached(parser: ConfigParser, roots: Sequence[str], left_out: Sequence[str]) -> dict[str, Any]:
    """The values that keys of a configuration are made of.

    Args:
        parser: the configuration.
        roots: these keys and all that they refer to,
        left_out: without these and what only they refer to.

    Returns:
        each value as the configuration says it, before references and expressions are resolved, by its whole key, such
        as ``network_def#network#channels``.
    """
    found: dict[str, Any] = {}

    def visit(key: str, value: Any) -> None:
        if key in found or any(f"{key}#".startswith(f"{part}#") for part in left_out):
            return
        parts = value if isinstance(value, list) else []
        if isinstance(value, dict) or any(isinstance(part, dict | list) for part in parts):
            for name, part in value.items() if isinstance(value, dict) else enumerate(parts):
                visit(f"{key}#{name}", part)
            return
        found[key] = value if isinstance(value, bool | int | float | str | list | None) else type(value).__name__
        for text in parts or [value]:
            for other in ReferenceResolver.match_refs_pattern(text) if isinstance(text, str) else ():
                other = other.replace("::", "#")
                visit(other, parser.get(other))

    for root in roots:
        visit(root, parser.get(root))
    return found


def images(entries: Sequence[dict[str, Any]]) -> list[str]:
    """A short hash an entry of a data list: of its truth, and of its files' names and sizes, wherever they lie."""
    return [hashlib.sha256(json.dumps(_told(entry), default=str).encode()).hexdigest()[:12] for entry in entries]


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _told(part) for key, part in sorted(value.items())}
    if isinstance(value, list):
        return [_told(part) for part in value]
    if isinstance(value, str) and os.path.isdir(value):  # a series
        return [Path(value).name, sorted((entry.name, entry.stat().st_size) for entry in os.scandir(value))]
    if isinstance(value, str) and os.path.exists(value):
        return [Path(value).name, os.path.getsize(value)]
    return value


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is another in ``now``, in words. Both hold values by key, and of data the :func:`images`.

    Returns:
        lines such as ``image_size: 256 -> 512``, of which the last tells how many there are beyond ten.
    """
    lines = []
    for key in dict.fromkeys([*before, *now]):
        old, new = before.get(key, "not set"), now.get(key, "not set")
        if key in ("training images", "validation images") and isinstance(old, list) and isinstance(new, list):
            gone, more = ((Counter(a) - Counter(b)).total() for a, b in ((old, new), (new, old)))
            if gone or more:
                lines.append(f"{key}: {len(old)} -> {len(new)}, {more} of them new or changed, {gone} gone")
            elif old != new:
                lines.append(f"{key}: in another order")
        elif old != new:
            lines.append(f"{key}: {old} -> {new}")
    return lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"and {len(lines) - SHOWN} more"]
