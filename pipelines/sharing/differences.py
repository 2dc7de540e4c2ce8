"""How a packaged bundle differs from the package that the bundle of its name here would make."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any

from .archive import Contents
from .configuration import is_code, values_of
from .content import shown

MAX_COMPARED = 3000  # values of a file; comparing takes the square of it


def differences(where: str, package: Contents, here: Mapping[str, bytes]) -> dict[str, list[str]]:
    """What of a package is not as here.

    Args:
        where: begins the message of an error.
        package: what was received.
        here: the files that a package of one's own holds; where it has no file of that name, all of the package's is
            new, and of its settings only what is code is shown.

    Returns:
        by file the lines to show, printable, ``+`` for what is in the package and ``-`` for what is here. No file that
        is the same, to the byte, is in it.

    Raises:
        DataError: if the package's configuration cannot be expanded.
    """
    found = {}
    for name in sorted({*package.checksums, *here}):
        if name not in package.checksums:
            found[name] = ["is only here"]
        elif name not in here:
            settings = package.settings if name in package.settings else {}
            found[name] = ["is only in the package", *_code(f"{where}: {name}", name, settings)]
        elif hashlib.sha256(here[name]).hexdigest() != package.checksums[name]:
            settings = package.settings if name in package.settings else {}
            found[name] = _changed(f"{where}: {name}", name, settings, here) if settings else ["is another file"]
    return found


def _code(where: str, name: str, settings: Mapping[str, bytes]) -> list[str]:
    values = values_of(where, name, settings) if settings else {}
    return [_line("+", key, value) for key, value in values.items() if is_code(key, value)]


def _changed(where: str, name: str, settings: Mapping[str, bytes], here: Mapping[str, bytes]) -> list[str]:
    ours, theirs = ([*values_of(where, name, files).items()] for files in (here, settings))
    if max(len(ours), len(theirs)) > MAX_COMPARED:
        return [f"has {len(theirs)} values, too many to compare: read it"]
    matcher = SequenceMatcher(
        None, [_comparable(*item) for item in ours], [_comparable(*item) for item in theirs], False
    )
    lines = []
    for kind, first, last, start, stop in matcher.get_opcodes():
        if kind != "equal":
            lines += [_line("-", *item) for item in ours[first:last]] + [
                _line("+", *item) for item in theirs[start:stop]
            ]
    return lines or ["says the same, written in another way"]


def _comparable(key: str, value: Any) -> str:
    """A value with its key, without numbers of places in lists: what is inserted there moves all that follows."""
    return json.dumps(["*" if part.isdigit() else part for part in key.split("::")] + [value])


def _line(sign: str, key: str, value: Any) -> str:
    return shown(f"{sign} {key}: {value if isinstance(value, str) else json.dumps(value)}")
