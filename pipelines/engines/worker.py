"""What does cases in a process that others look after: it holds a loaded model, and no error leaves it."""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from transforms import Case, DataError, DiskError, plain_error, prepare_console
from transforms.files.atomic import remove_unfinished

from .local import Record, Stages

if TYPE_CHECKING:
    import pyarrow

logger = logging.getLogger(__name__)
Answer = dict[str, Any]
NUMBER, CASE, ANSWER = "number", "case", "answer"  # columns of tables: int, and what is pickled


class Worker:
    """Does batches of cases. Several threads may call it, so that one batch is read while another is computed.

    What it would log goes back with the answers, to be said where a person looks on: names of files may be those of
    patients, and logs of workers lie where nobody thinks of them.

    Args:
        make: makes the stages.
        folder: where relative paths start, if it is there.
        output: the folder of the outputs.
        shared: files with their SHA-256, which must be the same here as where the work is planned.
        cores: threads that read and write, and that compute.
    """

    def __init__(self, make: Callable[[], Stages], folder: Path, output: Path, shared: Mapping[Path, str], cores: int):
        self.heard = _Heard(logging.WARNING)
        logging.root.handlers = [self.heard]
        logging.captureWarnings(True)
        self.pool = ThreadPoolExecutor(cores)
        self.fault: Answer | None = None
        try:
            prepare_console()
            with suppress(OSError):
                os.chdir(folder)
            torch.set_num_threads(cores)
            _check(shared)
            remove_unfinished([output])  # of one that was killed here
            self.stages = make()
        except Exception as error:
            self.fault = _fault(error)

    def ready(self) -> Answer:
        """Whether it can work: ``fault``, if not."""
        return self.fault or {}

    def do(self, cases: Sequence[Case]) -> list[Answer]:
        """Do a batch of cases.

        Returns:
            what :func:`opened` takes, for each case.
        """
        try:
            if self.fault is None:
                read = list(self.pool.map(self.stages.read, cases))
                written = self.pool.map(self.stages.write, self.stages.compute(read))
                answers: list[Answer] = [{"record": record} for record in written]
            else:
                answers = [self.fault] * len(cases)
        except Exception as error:
            answers = [_fault(error)] * len(cases)
        return [answers[0] | {"said": self.heard.take()}, *answers[1:]]

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        """Do a block of Ray Data: :meth:`do` with a table of numbers and cases, for one of numbers and answers."""
        import pyarrow

        answers = self.do([pickle.loads(case) for case in table[CASE].to_pylist()])
        return pyarrow.table({NUMBER: table[NUMBER], ANSWER: [pickle.dumps(answer) for answer in answers]})


def opened(answer: Answer) -> Record:
    """The record in an answer, or the error that ended all work; and what was said is said here.

    Raises:
        DiskError: if nothing more can be written.
        DataError: if the worker cannot work.
        RuntimeError: if the program has an error, with its traceback.
    """
    for level, text in answer.get("said", ()):
        logger.log(level, "%s", text)
    if "fault" in answer:
        raise {"disk": DiskError, "data": DataError, "bug": RuntimeError}[answer["kind"]](answer["fault"])
    return answer["record"]


def _fault(error: Exception) -> Answer:
    plain = plain_error(error)
    if plain is None:
        return {"kind": "bug", "fault": "".join(traceback.format_exception(error))}
    return {"kind": "disk" if isinstance(plain, DiskError) else "data", "fault": str(plain)}


def _check(shared: Mapping[Path, str]) -> None:
    for path, digest in shared.items():
        if not path.is_file() or digest_of(path) != digest:
            raise DataError(
                f"{path}: is not the same on each machine. Input, output and bundle must be in folders that all "
                "machines share, at the same path."
            )


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Heard(logging.Handler):
    """Keeps what is logged until it is taken."""

    def __init__(self, level: int):
        super().__init__(level)
        self.kept: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append((record.levelno, record.getMessage()))

    def take(self) -> list[tuple[int, str]]:
        taken, self.kept = self.kept, []
        return taken
