"""Writing files so that a kill at any moment leaves the old one or the new one, never half of it."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, Any

from ..errors import OF_THE_DISK, DataError, DiskError

logger = logging.getLogger(__name__)
_changing = threading.Lock()

# Of temporary files: whose they are. A process number means nothing on another host that shares the folder.
HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
SCRATCH = re.compile(rf"\.unfinished-{HOST}-(\d+)-")


@contextmanager
def writing(path: os.PathLike | str) -> Iterator[None]:
    """What the block cannot write to ``path`` is told in one message.

    Raises:
        DiskError: if the disk is full, or cannot be written to.
        DataError: if anything else of the file system is in the way.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch.save raises an error of its own while it handles the file's
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        kind = DiskError if cause.errno in OF_THE_DISK else DataError
        raise kind(
            f"{path}: cannot be written ({cause.strerror or cause}). What was there before is kept. Make room or "
            "correct the folder's permissions, then give the command again."
        ) from cause


@contextmanager
def atomic_path(path: os.PathLike | str, private: bool = False) -> Iterator[Path]:
    """A temporary path beside ``path``, its name ending alike, that takes its place if the block ends well.

    Args:
        path: the file.
        private: whether only its owner may read it.

    Raises:
        DataError: as :func:`writing`; ``path`` is as it was then.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".unfinished-{HOST}-{os.getpid()}-"
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix="".join(path.suffixes[-2:]))
        os.close(handle)
        scratch = Path(name)
        try:
            yield scratch
            if not private:  # mkstemp lets nobody else read
                os.chmod(scratch, 0o666 & ~_umask())
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)


def _umask() -> int:
    with _changing:  # it can only be read by changing it, for all threads
        umask = os.umask(0)
        os.umask(umask)
    return umask


@contextmanager
def atomic_write(path: os.PathLike | str, mode: str = "w", private: bool = False) -> Iterator[IO[Any]]:
    """A file that takes the place of ``path`` if the block ends well: of text, or of bytes with ``mode`` ``"wb"``.

    Raises:
        DataError: as :func:`atomic_path`.
    """
    text = {} if "b" in mode else {"newline": "", "encoding": "utf-8"}  # the same on every system
    with atomic_path(path, private) as scratch, open(scratch, mode, **text) as file:  # type: ignore[call-overload]
        yield file


def remove_unfinished(folders: Sequence[os.PathLike | str]) -> None:
    """Remove the temporary files in and below folders that killed processes of this host left, and nothing else."""
    found = [
        Path(folder, name)
        for root in folders
        for folder, _, names in os.walk(os.fspath(root))
        for name in names
        if (match := SCRATCH.match(name)) and not _is_alive(int(match[1]))
    ]
    size = 0
    for path in found:
        try:
            size += path.stat().st_size
            path.unlink()
        except FileNotFoundError:  # another process has removed it
            continue
    if found:
        logger.info("removed %d unfinished files of killed runs, %.1f MB", len(found), size / 1e6)


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":
        return _is_alive_on_windows(process)
    try:
        os.kill(process, 0)  # sends nothing; on Windows it would end the process
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        pass
    return True


def _is_alive_on_windows(process: int) -> bool:
    """By kernel32's OpenProcess and GetExitCodeProcess."""
    import ctypes

    query_limited_information, access_denied, still_active = 0x1000, 5, 259
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
    kernel.OpenProcess.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(kernel.OpenProcess(query_limited_information, False, process))
    if not handle:
        return ctypes.get_last_error() == access_denied  # type: ignore[attr-defined]  # of another user
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return code.value == still_active


def set_aside(*paths: Path) -> None:
    """Keep files that belong together under another name too.

    ``model.pt`` is kept as ``model.previous.pt``, then as ``model.previous2.pt``, and what belongs to it alike. They
    stay where they are, to be replaced: at no moment is there none. A file that is not there is passed over.

    Raises:
        DataError: if a file cannot be kept.
    """
    for number in count(1):
        aside = [path.with_name(f"{path.stem}.previous{number if number > 1 else ''}{path.suffix}") for path in paths]
        if all(_is_free(other, path) for other, path in zip(aside, paths, strict=True)):
            break
    for path, other in zip(paths, aside, strict=True):
        if path.exists() and not other.exists():
            try:
                os.link(path, other)
            except OSError:  # not every file system has hard links
                with atomic_path(other) as scratch:
                    shutil.copyfile(path, scratch)
            logger.info("kept the earlier %s as %s", path.name, other.name)


def _is_free(other: Path, path: Path) -> bool:
    """Whether ``other`` is not there, or is ``path``, which a run that was killed then has set aside."""
    return not other.exists() or (path.exists() and other.samefile(path))
