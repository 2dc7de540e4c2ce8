"""Ways to change a package, as someone would who knows its format."""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def unchanged(name: str, data: bytes) -> bytes:
    return data


def rewritten(
    path: Path,
    change: Callable[[str, bytes], bytes | None] = unchanged,
    more: Iterable[tuple[zipfile.ZipInfo, bytes]] = (),
    checksums: bool = True,
) -> Path:
    """A package with its files changed (None: left out), ``more`` added, and checksums that fit."""
    with zipfile.ZipFile(path) as archive:
        files = {name: change(name, archive.read(name)) for name in archive.namelist() if "checksums" not in name}
    held = [(entry(name), data) for name, data in files.items() if data is not None] + list(more)
    if checksums:
        sums = {i.filename.partition("/")[2]: hashlib.sha256(data).hexdigest() for i, data in held}
        held.append((entry("small/checksums.json"), json.dumps(sums).encode()))
    with zipfile.ZipFile(path, "w") as archive:
        for info, data in held:
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


def with_config(path: Path, name: str, change: dict[str, Any] | Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """A package, one of its configurations changed or with more keys."""

    def changed(file: str, data: bytes) -> bytes:
        if file != f"small/configs/{name}.json":
            return data
        config = json.loads(data)
        return json.dumps(change(config) if callable(change) else config | change, indent=2).encode()

    return rewritten(path, changed)


def with_file(path: Path, name: str, data: bytes) -> Path:
    """A package with one file in place of another."""
    return rewritten(path, lambda file, old: data if file == f"small/{name}" else old)
