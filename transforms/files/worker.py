"""Decoding in processes of their own: what a damaged or hostile file does to its decoder ends that process alone.

Processes are started when they are needed, used again, and replaced when they die. Each process that decodes has its
own: after a fork, and in the workers of a data loader. They end with it.
"""

from __future__ import annotations

import json
import math
import multiprocessing.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from ..errors import DataError
from . import decoder

Shapes = Sequence[tuple[int, ...]]
MEMORY_GB, SECONDS = 2.0, 30.0  # the readers' defaults
LOG_END = 2000  # bytes of what a process said before it died
GB = 10**9
PARTS = 30  # of the time that a file may take


class Limits(NamedTuple):
    """What decoding one file may take.

    Attributes:
        memory_gb: address space of the decoding process, in 10^9 bytes, of which it needs 0.3 before it reads anything.
            Linux holds to it; macOS and Windows have no such limit.
        seconds: of time, after which the process is killed.
    """

    memory_gb: float = MEMORY_GB
    seconds: float = SECONDS

    @property
    def memory(self) -> int:
        """``memory_gb`` in bytes."""
        return int(self.memory_gb * GB)


LIMITS = Limits()


class _EndedError(Exception):
    """A decoding process ended, or had to be ended, before it gave an answer. A fresh one may or may not do better."""

    def __init__(self, reason: str, retry: bool):
        super().__init__(reason)
        self.retry = retry


class UndecodableError(DataError):
    """A decoder refuses a file; ``reason`` is in its own words."""

    def __init__(self, path: Path, reason: str):
        super().__init__(
            f"{path}: cannot be decoded, it may be damaged ({reason}). Copy it again, or export it uncompressed."
        )
        self.reason = reason


class _RefusedError(Exception):
    """The answer of a process whose decoder refuses a file."""


def decoded(path: Path, task: str, shapes: Shapes, limits: Limits, payload: bytes = b"", **request: Any) -> np.ndarray:
    """Have a file decoded by another process.

    Args:
        path: the file, for errors; tasks that read it themselves get it too.
        task: of :data:`decoder.TASKS`.
        shapes: those that the array may have, by what is known of the file.
        limits: of memory and time.
        payload: what is decoded, where the task does not read the file.
        request: further arguments of the task.

    Raises:
        UndecodableError: if the decoder refuses the file.
        DataError: if it gives an array of another shape, crashes, takes too long or needs too much memory.
    """
    request |= {"task": task, "path": os.path.abspath(path), "size": len(payload)}
    request["memory"] = limits.memory
    fresh = False
    while True:
        try:
            return _pool.run(request, payload, shapes, limits, fresh)
        except _RefusedError as error:
            raise UndecodableError(path, str(error)) from None
        except _EndedError as error:
            if fresh or not error.retry:
                raise DataError(f"{path}: {error}") from None
            fresh = True  # an earlier file may have damaged the process's memory: no file fails for another


class _Worker:
    """One decoding process."""

    def __init__(self) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the pipes
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # threads take address space
        self.process = subprocess.Popen(
            [sys.executable, str(Path(decoder.__file__)), json.dumps([str(folder) for folder in sys.path])],
            pipesize=2**20 if sys.platform == "linux" else -1,  # bytes: fewer turns between two processes
            bufsize=0,  # so that a fork never holds half a request
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
        )
        self.requests, self.answers = cast(FileIO, self.process.stdin), cast(FileIO, self.process.stdout)
        self.used = False

    def run(self, request: dict[str, Any], payload: bytes, shapes: Shapes, limits: Limits) -> np.ndarray:
        """Send a request and wait for its answer.

        Raises:
            _RefusedError: with the decoder's own error. The process can be used again.
            _EndedError: the process cannot be used again.
        """
        answered, late = threading.Event(), threading.Event()

        def watch() -> None:
            # in parts, of which no more than one is lost while the whole program is suspended, as by Ctrl-Z
            for _ in range(PARTS):
                if answered.wait(limits.seconds / PARTS):
                    return
            late.set()
            self.process.kill()

        (watcher := threading.Thread(target=watch, daemon=True)).start()
        try:
            self._write(decoder.packed(request) + payload)
            (length,) = decoder.LENGTH.unpack(self._read(decoder.LENGTH.size))
            answer = json.loads(self._read(length))
            if "error" in answer:
                if answer["error"] == decoder.OUT_OF_MEMORY:
                    raise self._ended(_too_large(limits))
                raise _RefusedError(answer["error"])
            shape, kind = tuple(answer["shape"]), np.dtype(answer["dtype"])
            if shape not in shapes or kind.kind not in "buif":
                raise self._ended(f"decodes to an array of shape {shape}, not of {shapes[0]}. Export it again.", False)
            flat = np.empty(math.prod(shape), kind)
            self._fill(flat.data.cast("B"))
            return flat.reshape(shape, order=answer["order"])
        except (OSError, EOFError):
            raise self._ended(*self._how(late.is_set(), limits)) from None
        finally:
            answered.set()
            watcher.join()  # so that it does not kill the process while that is at the next file
            self.used = True
            if late.is_set():
                self.close(kill=True)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.requests.write(view) :]

    def _read(self, length: int) -> bytearray:
        buffer = bytearray(length)
        self._fill(memoryview(buffer))
        return buffer

    def _fill(self, view: memoryview) -> None:
        while view:
            read = self.answers.readinto(view)
            if not read:
                raise EOFError
            view = view[read:]

    def _ended(self, reason: str, retry: bool = True) -> _EndedError:
        again = retry and self.used
        self.close(kill=True)
        return _EndedError(reason, again)

    def _how(self, late: bool, limits: Limits) -> tuple[str, bool]:
        """Why the process ended, and whether an earlier file can have been the reason."""
        if late:
            allow = f"Leave it out, or allow more with the reader's seconds, {limits.seconds:g} now."
            return f"its decoder took longer than {limits.seconds:g} s. {allow}", False
        code = self.process.wait()
        self.log.seek(0, os.SEEK_SET)
        said = self.log.read()[-LOG_END:].decode(errors="replace")
        if any(words in said for words in decoder.NO_MEMORY):
            return _too_large(limits), True
        how = f"with exit code {code}" if code >= 0 else signal.Signals(-code).name
        if how == "SIGKILL":
            return f"its decoder was killed ({how}), as a system does that runs out of memory. Leave it out.", True
        return f"its decoder crashed ({how}). The file is damaged or hostile: copy it again, or leave it out.", True

    def close(self, kill: bool = False) -> None:
        """End the process, by the end of its input or by force, and wait for it: no zombie stays."""
        if kill:
            self.process.kill()
        self.leave()
        self.process.wait()

    def leave(self) -> None:
        """Close this end of the pipes; once all processes have done so, the process ends."""
        self.requests.close()
        self.answers.close()
        self.log.close()


def _too_large(limits: Limits) -> str:
    now = f"{limits.memory_gb:g}"
    return f"decoding it needs more than {now} GB. Leave it out, or allow more with the reader's memory_gb, {now} now."


class _Pool:
    """The decoding processes of one process: as many as threads ask for at a time, but no more than there are cores."""

    def __init__(self) -> None:
        self.idle: list[_Worker] = []
        self.all: set[_Worker] = set()
        self.lock = threading.Lock()
        self.slots = threading.BoundedSemaphore(os.cpu_count() or 1)
        self.ends = False

    def run(self, request: dict[str, Any], payload: bytes, shapes: Shapes, limits: Limits, fresh: bool) -> np.ndarray:
        """Run a request in an idle process, or in a fresh one."""
        with self.slots:
            worker = self._take(fresh)
            try:
                return worker.run(request, payload, shapes, limits)
            except _RefusedError:
                raise
            except BaseException:  # as on Ctrl-C: half an answer may be in the pipe
                worker.close(kill=True)
                raise
            finally:
                self._give_back(worker)

    def _take(self, fresh: bool) -> _Worker:
        with self.lock:
            while self.idle and not fresh:
                worker = self.idle.pop()
                if worker.process.poll() is None:
                    return worker
                self._drop(worker)
            if not self.ends:
                self.ends = True
                # and not atexit, which does not run in processes of multiprocessing
                multiprocessing.util.Finalize(None, self.close, exitpriority=10)
            worker = _Worker()
            self.all.add(worker)
            return worker

    def _give_back(self, worker: _Worker) -> None:
        with self.lock:
            if worker.process.returncode is None:
                self.idle.append(worker)
            else:
                self._drop(worker)

    def _drop(self, worker: _Worker) -> None:
        self.all.discard(worker)
        worker.close()

    def close(self) -> None:
        """End the idle processes. Another request starts new ones."""
        with self.lock:
            for worker in self.idle:
                worker.requests.close()  # all at once, then wait
            while self.idle:
                self._drop(self.idle.pop())


_pool = _Pool()


def close_workers() -> None:
    """End the idle decoding processes of this process. Another file starts new ones."""
    _pool.close()


def _forget() -> None:
    """In the child of a fork: the parent's decoding processes are not its own."""
    global _pool
    for worker in _pool.all:
        worker.leave()
        worker.process.returncode = 0  # not a child: nothing to wait for
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
