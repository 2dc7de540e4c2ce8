"""Processes of their own, forked from one that has imported what they need."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["tests.running", "pipelines", "pipelines.resuming.restore", "pipelines.prediction.predict"]
)
SECONDS = 120.0  # that anything may take, which is more than a decoder may
MB = 10**6


class EndedError(Exception):
    """The process ended, or had to be ended, before it gave an answer."""


class Apart:
    """Calls a function in a process of its own, which is replaced when it ends.

    Args:
        function: of a module, to be called there. Its first argument is what ``prepare`` returned.
        prepare: is called once in each process, with ``arguments``.
    """

    def __init__(self, function: Callable[..., Any], prepare: Callable[..., Any], *arguments: Any):
        self.parts = function, prepare, arguments
        self.process: Any = None

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns.

        Raises:
            EndedError: if the process ended instead, or took longer than SECONDS.
        """
        if self.process is None:
            self.pipe, theirs = FORKS.Pipe()
            self.process = FORKS.Process(target=_serve, args=(theirs, *self.parts))
            self.process.start()
            theirs.close()
        try:
            self.pipe.send(arguments)
            if not self.pipe.poll(SECONDS):
                self.process.kill()
                raise EndedError(f"took longer than {SECONDS:g} s")
            return self.pipe.recv()
        except (EOFError, OSError) as error:
            self.process.join()
            raise EndedError(f"ended with {self.process.exitcode}") from error
        finally:
            if not self.process.is_alive():
                self.close()

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.pipe.close()
            self.process.join()
            self.process = None


def _serve(pipe: Any, function: Callable[..., Any], prepare: Callable[..., Any], arguments: tuple) -> None:
    prepared = prepare(*arguments)
    while True:
        try:
            given = pipe.recv()
        except EOFError:
            return
        pipe.send(function(prepared, *given))


def run_apart(function: Callable[..., Any], log: Path, *arguments: Any) -> Any:
    """Start a process that calls a function, and writes what it says to ``log``."""
    process = FORKS.Process(target=_into, args=(log, function, arguments))
    process.start()
    return process


def _into(log: Path, function: Callable[..., Any], arguments: tuple) -> None:
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
    os.dup2(1, 2)
    sys.exit(function(*arguments))


def was_killed(process: Any) -> bool:
    """Kill a process, and tell whether that came before its end."""
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def peak_mb() -> tuple[int, int]:
    """The most memory that this process held so far, and the most that one of its ended children did, in 10^6 bytes."""
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own * 1024 // MB, children * 1024 // MB
