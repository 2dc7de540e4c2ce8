"""What tells that a file or a folder has changed, without reading what is in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

Stamp: TypeAlias = "list[int | str | Stamp]"


def stamp_of(path: os.PathLike | str) -> Stamp:
    """Size and time of a file; of a folder, such as a series, the names, sizes and times of the files in it.

    A folder's own time does not tell when a file in it was written over.

    Args:
        path: what is there.

    Raises:
        OSError: if it is not.
    """
    if os.path.isdir(path):
        return [[inner.name, *stamp_of(inner)] for inner in sorted(Path(path).iterdir())]
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns]
