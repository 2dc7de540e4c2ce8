"""What an engine is, and the one that does cases in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Protocol

import torch

from transforms import Case

from .flow import flow

Record = dict[str, Any]


class Stages(Protocol):
    """What is done to a case. Stages of different cases may run at the same time, in several threads.

    What is wrong with a case is in its record; an error that one of them raises concerns all cases.
    """

    device: torch.device

    def read(self, case: Case) -> Any:
        """From a case's files to what is computed."""

    def compute(self, batch: Sequence[Any]) -> Sequence[Any]:
        """What was read, several cases at once; gives as many."""

    def write(self, one: Any) -> Record:
        """From what was computed to files. Returns the case's record."""


class Engine(Protocol):
    """Does cases while it is open, as a context.

    Attributes:
        ends_with_its_cases: whether a case that ends the process that does it ends this one too. It is worth noting
            which are begun then.
    """

    ends_with_its_cases: bool

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def alone(self, case: Case, check: Callable[[], None]) -> Record:
        """Do one case and no other.

        Args:
            case: what is done.
            check: is called where others are waited for; its error ends the waiting.
        """

    def each(self, cases: Iterable[Case], check: Callable[[], None]) -> Iterator[tuple[Case, Record]]:
        """Do many cases, and give each back with its record as soon as it is known.

        Cases whose worker ended, for whatever reason, do not come back.

        Args:
            cases: what is done.
            check: as of :meth:`alone`.
        """


class LocalEngine:
    """Does cases in this process, where one that ends it ends all.

    Args:
        make: makes the stages, which takes as long as loading a model.
        workers: threads that read and write.
        batch_sizes: cases that are computed at once, on a CPU and on a GPU.
    """

    ends_with_its_cases = True

    def __init__(self, make: Callable[[], Stages], workers: int, batch_sizes: tuple[int, int]):
        self.stages, self.workers = make(), workers
        self.batch_size = batch_sizes[self.stages.device.type != "cpu"]

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def alone(self, case: Case, check: Callable[[], None]) -> Record:
        """As :meth:`Engine.alone`; waits for nobody."""
        return self.stages.write(self.stages.compute([self.stages.read(case)])[0])

    def each(self, cases: Iterable[Case], check: Callable[[], None]) -> Iterator[tuple[Case, Record]]:
        """As :meth:`Engine.each`, in the order of the cases; all come back.

        If taking one raises an error, those that were taken are done first.
        """
        stages = self.stages
        return flow(cases, stages.read, stages.compute, stages.write, self.workers, self.batch_size)
