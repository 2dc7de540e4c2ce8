"""The configuration that a program runs, and what in it changes nothing."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from monai.bundle import ConfigParser

from .errors import DataError

METADATA = "metadata.json"  # which holds no keys of a configuration
# What MONAI adds: the metadata, and what its experiment management may or may not refer to
OF_MONAI = ("_meta_", "tracking_uri", "experiment_name", "run_name", "save_execute_config")


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
    """Refuse keys of a configuration that nothing would ever read.

    MONAI takes any ``--KEY VALUE``, so that one which is misspelt would go unseen. A key is read if a configuration of
    the bundle has it, if another key refers to it, or if it is a list of expressions, which MONAI may be told to run.

    Args:
        configs: the folder of the bundle's configurations.
        known: other keys that are read.
        parser: the configuration; None: that which the caller is a component of, if any.

    Raises:
        DataError: if there is such a key.
    """
    parser = parser or calling_parser()
    if parser is None:
        return
    given: dict[str, Any] = parser.get()
    files = [path for path in sorted(Path(configs).glob("*.json")) if path.name != METADATA]
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
