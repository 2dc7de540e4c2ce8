"""SIGTERM and SIGINT end a run at its next step, when what it has done is on disk."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import Any, TypeVar

from ignite import distributed as idist
from torch.distributed import is_torchelastic_launched

Item = TypeVar("Item")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(SystemExit):
    """A signal has asked for the end. It ends the program without a traceback, with the exit code of shells.

    Args:
        number: the signal's; the exit code is 128 more.
    """

    def __init__(self, number: int):
        self.exit_code = 128 + number
        super().__init__(self.exit_code)


class Steps(AbstractContextManager):
    """While it is open, the first SIGTERM or SIGINT waits for :meth:`check`; a second one ends the process at once.

    Outside of the main thread, and where a program handles these signals in its own way or ignores them, it does
    nothing.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Steps:
        self.asked, self.process = 0, os.getpid()
        usual = (signal.default_int_handler, signal.SIG_DFL)
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.getsignal(number) for number in SIGNALS if signal.getsignal(number) in usual}
        for number in self.before:
            signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # torchrun sends the signal to one process after the other, when all may be at their end already
        if not (self.asked and is_torchelastic_launched()):
            for number, handler in self.before.items():
                signal.signal(number, handler)
        self.before = {}
        logging.disable(logging.NOTSET)

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, each of which is a step. It is open as long as there are more.

        Raises:
            Stopped: before an item, if a signal has asked for it.
        """
        with self:
            for item in items:
                self.check()
                yield item

    def check(self) -> None:
        """End here if a signal has asked for it. Where several processes train, all must call it, and all end.

        Raises:
            Stopped: if so.
        """
        if idist.get_world_size() > 1:
            self.asked = int(idist.all_reduce(self.asked, op="MAX"))
        if self.asked:
            logging.disable()  # the engines would say it again, with a traceback
            raise Stopped(self.asked)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self.process:  # a worker, which must not wait; Ctrl-C reaches it too, and its parent ends it
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        self.asked = number
        said = f"{signal.Signals(number).name}: stopping at the next step"
        if not is_torchelastic_launched():  # torchrun passes on what the terminal has sent to all processes already
            for each in self.before:
                signal.signal(each, signal.SIG_DFL)
            said += "; another signal ends the run at once"
        if os.environ.get("RANK", "0") == "0":
            os.write(2, f"{said}\n".encode())  # not by logging, which may be in the middle of a line
