"""Writing files so that a kill at any moment leaves the old one or the new one, never half of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic_path(path: os.PathLike | str) -> Iterator[Path]:
    """A temporary path beside ``path``, its name ending alike, that takes its place if the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix="".join(path.suffixes[-2:]))
    os.close(handle)
    try:
        yield Path(name)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp lets nobody else read
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def atomic_write(path: os.PathLike | str) -> Iterator[IO[str]]:
    """A text file that takes the place of ``path`` if the block ends well."""
    with atomic_path(path) as scratch, open(scratch, "w", newline="") as file:
        yield file
