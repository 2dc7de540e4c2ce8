"""How far something is: a bar where a person looks on, a line in the log now and then where none does.

Says how many, and never which: names of files may be those of patients.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

Item = TypeVar("Item")
logger = logging.getLogger(__name__)

EVERY = 30  # seconds between two lines
SIZE = {"ncols": 80, "nrows": 24}  # of a terminal that does not say its own, on which tqdm shows nothing


def is_watched() -> bool:
    """Whether there is a bar: stderr is a terminal, and the program has asked for messages at INFO."""
    return logger.isEnabledFor(logging.INFO) and sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def counted(total: int, what: str, unit: str, lines: bool = True) -> Iterator[Callable[[], object]]:
    """While the block runs, show how many of ``total`` are done.

    Args:
        total: how many there are.
        what: is done to them, such as ``"reading headers"``.
        unit: one of them, such as ``"file"``.
        lines: whether the log gets lines where there is no bar.

    Yields:
        what is to be called once for each that is done.
    """
    if is_watched():
        size = {} if os.get_terminal_size(sys.stderr.fileno()).columns else SIZE
        with logging_redirect_tqdm(), tqdm(total=total, desc=what, unit=unit, **size) as bar:
            yield bar.update
        return
    done, start = 0, time.monotonic()
    next_line = start + EVERY

    def count() -> None:
        nonlocal done, next_line
        done += 1
        if lines and (now := time.monotonic()) >= next_line and done < total:
            next_line = now + EVERY
            left = (now - start) / done * (total - done)
            logger.info("%s: %d of %d %ss, %.0f s left", what, done, total, unit, left)

    yield count


def progress(items: Iterable[Item], total: int, what: str, unit: str) -> Iterator[Item]:
    """Pass items on and show how many have come: see :func:`counted`."""
    with counted(total, what, unit) as count:
        for item in items:
            yield item
            count()
