"""Cases that are read, computed and written at the same time, and given back in their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")
Computed = TypeVar("Computed")
Written = TypeVar("Written")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def flow(
    items: Iterable[Item],
    read: Callable[[Item], Read],
    compute: Callable[[Sequence[Read]], Sequence[Computed]],
    write: Callable[[Computed], Written],
    workers: int,
    batch_size: int,
) -> Iterator[tuple[Item, Written]]:
    """Read, compute and write items, so that neither a device nor a core waits for the others.

    Threads read and write: what takes long there (decoding, resampling, compression) lets others run. Computing is done
    in the caller's thread. However many items there are, at most ``4 * batch_size`` of them are in memory.

    Args:
        items: taken one after the other. If taking one raises an error, those that were taken are done first.
        read: one item.
        compute: up to ``batch_size`` of what was read; gives as many.
        write: one of what was computed.
        workers: threads.
        batch_size: of ``compute``.

    Yields:
        each item with what ``write`` gave for it, in their order, as soon as those before it are done.

    Raises:
        Exception: the first that one of the three functions raises; what has not been begun is then left.
    """
    source: Iterator[Item] | None = iter(items)
    fault: BaseException | None = None
    reading: deque[tuple[Item, Future[Read]]] = deque()
    writing: deque[tuple[Item, Future[Written]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        while source is not None or reading or writing:
            while source is not None and len(reading) < 2 * batch_size:  # one batch is computed while one is read
                try:
                    item = next(source)
                except StopIteration:
                    source = None
                except BaseException as error:
                    source, fault = None, error
                else:
                    reading.append((item, pool.submit(read, item)))
            batch = [reading.popleft() for _ in range(min(batch_size, len(reading)))]
            if batch:
                computed = compute([future.result() for _, future in batch])
                writing.extend((item, pool.submit(write, one)) for (item, _), one in zip(batch, computed, strict=True))
            while writing and (not reading or len(writing) > batch_size or writing[0][1].done()):
                item, written = writing.popleft()
                yield item, written.result()
    finally:
        pool.shutdown(cancel_futures=True)
    if fault is not None:
        raise fault
