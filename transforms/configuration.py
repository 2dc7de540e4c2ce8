"""The configuration that a program runs, and what in it cannot be meant: keys that nothing reads, impossible values."""

from __future__ import annotations

import difflib
import logging
import math
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from monai.bundle import ConfigParser

from .errors import DataError

logger = logging.getLogger(__name__)

METADATA = "metadata.json"  # which holds no keys of a configuration
# What MONAI adds: the metadata, and what its experiment management may or may not refer to
OF_MONAI = ("_meta_", "tracking_uri", "experiment_name", "run_name", "save_execute_config")


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= least


def _is_number(value: Any) -> bool:
    is_one = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return is_one and math.isfinite(value)


def _rises(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value)) and value[0] < value[1]


COUNT = ("a whole number from 1 on", lambda value: _is_whole(value, 1))
COUNT_OR_NONE = (f"{COUNT[0]}, or None", lambda value: value is None or _is_whole(value, 1))
NUMBER = ("a whole number from 0 on", lambda value: _is_whole(value, 0))
ABOVE_0 = ("a number above 0", lambda value: _is_number(value) and value > 0)
SHARE = ("a number above 0 and below 1", lambda value: _is_number(value) and 0 < value < 1)
CHOICE = ("True or False", lambda value: isinstance(value, (bool, np.bool_)))

# What a value must be, and how to tell, of each key of the bundles' configurations that is a number, a pair of numbers,
# or yes or no. What paths and names of things must be is known to those who take them.
VALUES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("epochs", "val_interval", "accumulation_steps", "batch_size", "global_batch_size"), COUNT),
    **dict.fromkeys(("image_size", "lungs_image_size"), COUNT),
    **dict.fromkeys(("patience", "overlay_size"), COUNT_OR_NONE),
    **dict.fromkeys(("seed", "num_workers"), NUMBER),
    **dict.fromkeys(("learning_rate", "temperature"), ABOVE_0),
    **dict.fromkeys(("threshold", "share_of_peak"), SHARE),
    "box_confidence": ("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1),
    "percentiles": (
        "two numbers from 0 to 100, the lower one first",
        lambda value: _rises(value) and value[0] >= 0 and value[1] <= 100,
    ),
    "window": ("two numbers, the lower one first", _rises),
    **dict.fromkeys(("force_weights", "strict", "compile", "pin_memory", "is_not_rank0"), CHOICE),
}


def calling_parser() -> ConfigParser | None:
    """The configuration that the caller is a component of; None if no parser made it.

    MONAI gives a component its arguments and nothing else. But it makes it within a method of the parser, which
    therefore is among the callers.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if isinstance(parser := frame.f_locals.get("self"), ConfigParser):
            return parser
        frame = frame.f_back
    return None


def check_keys(configs: os.PathLike | str, known: Iterable[str] = (), parser: ConfigParser | None = None) -> None:
    """Refuse what cannot be meant, before anything is computed.

    MONAI takes any ``--KEY VALUE``, so that a key which is misspelt would go unseen, and a share in per cent would be
    found out, if ever, after hours. A key is read if a configuration of the bundle has it, if another key refers to
    it, or if it is a list of expressions, which MONAI may be told to run. Values that are expressions are not checked.

    Args:
        configs: the folder of the bundle's configurations.
        known: other keys that are read.
        parser: the configuration; None: that which the caller is a component of, if any.

    Raises:
        DataError: if there is a key that nothing reads, or a value that cannot be.
    """
    parser = parser or calling_parser()
    if parser is None:
        return
    given: dict[str, Any] = parser.get()
    _check_read(given, Path(configs), known)
    for key, (words, is_right) in VALUES.items():
        if key in given and not is_computed(given[key]) and not is_right(given[key]):
            raise DataError(f"{key} is {given[key]!r}: give {words}.")
    planned, interval = parser.get("train#trainer#max_epochs"), given.get("val_interval")
    epochs = given.get("epochs") if planned == "@epochs" else planned
    if isinstance(epochs, int) and isinstance(interval, int) and interval > epochs:
        # no fault in a federation, which says by itself how long it trains
        text = "val_interval is %d and epochs is %d: so few epochs are not validated, and no model is kept of them"
        logger.warning(text, interval, epochs)


def _check_read(given: dict[str, Any], configs: Path, known: Iterable[str]) -> None:
    files = [path for path in sorted(configs.glob("*.json")) if path.name != METADATA]
    names = {key.split("#")[0] for path in files for key in ConfigParser.load_config_file(str(path))}
    read = {*names, *known, *OF_MONAI, *re.findall(r"@(\w+)", repr(given))}
    unread = [key for key, value in given.items() if key not in read and not _can_run(value)]
    if unread:
        close = difflib.get_close_matches(unread[0], names, 1)
        raise DataError(
            f"{unread[0]}: the bundle has no such key, so its value would change nothing. "
            + (f"Did you mean {close[0]}?" if close else "Correct it, or leave it out.")
        )


def _can_run(value: Any) -> bool:
    parts = value if isinstance(value, list) else [value]
    return bool(parts) and all(isinstance(part, str) and part.startswith("$") for part in parts)


def is_computed(value: Any) -> bool:
    """Whether it is, or holds, what only the parser knows the value of: an expression, a reference, a component."""
    if isinstance(value, (list, tuple)):
        return any(map(is_computed, value))
    return isinstance(value, dict) or (isinstance(value, str) and value.startswith(("$", "@", "%")))
