"""One run at a time in a folder of outputs."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from ..errors import DataError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

logger = logging.getLogger(__name__)

LOCK = ".lock"  # the file's name
NOT_SUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
LOCKED_BYTE = 2**30  # on Windows, where nobody else can read what is locked: far behind what the file says
_held: set[Path] = set()  # by this process


@contextmanager
def locked(folder: os.PathLike | str) -> Iterator[None]:
    """Hold a folder's lock while the block runs. A process that holds it already goes on.

    The kernel keeps the lock (POSIX ``fcntl``, over NFS too; on Windows ``msvcrt``) and lets go of it when the process
    ends, however it ends, so a lock cannot go stale: a file that a killed run has left is taken over. What it says is
    for people: the host, the process and since when.

    Args:
        folder: made where missing.

    Raises:
        DataError: if another run holds it, with what the file says; or the file cannot be written.
    """
    path = Path(folder).resolve() / LOCK
    if path in _held:
        yield
        return
    try:
        file = _acquire(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be locked ({error.strerror}). Correct the folder's permissions.") from error
    _held.add(path)
    try:
        yield
    finally:
        _held.discard(path)
        if fcntl is not None:
            path.unlink(missing_ok=True)  # before the lock goes with the file: nobody may lock what is then removed
            os.close(file)
        else:
            os.close(file)
            with suppress(OSError):  # Windows removes no file that is open, as it is to who has locked it meanwhile
                path.unlink()


def _acquire(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(file)
        except OSError as error:
            if error.errno in NOT_SUPPORTED:
                logger.warning("%s: cannot be locked on this file system: see to it that one run writes there", path)
                return file
            holder = _holder(file)
            os.close(file)
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            raise DataError(
                f"{path.parent}: another run is writing there{holder and ': '}{holder}. Wait for it or stop it, or "
                "give another folder."
            ) from error
        try:
            if os.path.samestat(os.fstat(file), os.stat(path)):
                break
        except FileNotFoundError:
            pass
        os.close(file)  # its last holder has just removed it
    if before := _holder(file):
        logger.info("%s: took over from a run that did not end in good order: %s", path.parent, before)
    about = {"host": socket.gethostname(), "process": os.getpid()}
    about["since"] = datetime.now().astimezone().isoformat(timespec="seconds")
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    os.write(file, json.dumps(about).encode())
    return file


def _lock(file: int) -> None:
    if fcntl is not None:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        os.lseek(file, LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)


def _holder(file: int) -> str:
    """Who holds a lock, in words; nothing if its file does not say."""
    try:
        os.lseek(file, 0, os.SEEK_SET)
        about = json.loads(os.read(file, 1000))
        return f"process {int(about['process'])} on {about['host']}, since {about['since']}"
    except (ValueError, KeyError, TypeError):
        return ""
