"""How busy training keeps a GPU: images per second, and the share of the time in which the GPU does nothing."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from transforms import DataError

from ..bundle import Bundle
from .training import Way

WARM_UP, STEPS = 30, 100


def gpu(bundle: Bundle) -> None:
    """Train a bundle on its phantoms from the cache, under torch's profiler, and print what the GPU did.

    Args:
        bundle: what is trained; nothing of it is kept.

    Raises:
        DataError: if torch sees no CUDA GPU.
    """
    if not torch.cuda.is_available():
        raise DataError("torch sees no CUDA GPU here. Run this where there is one; benchmark training times a CPU too.")
    way = Way(bundle, [], True, {})
    way.time(WARM_UP, keep=False)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as watched:
        way.time(STEPS, keep=True)
    spans = [
        (event.time_range.start, event.time_range.end)
        for event in watched.events()
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation  # which span what is between kernels
    ]
    way.time(STEPS, keep=True)  # without the profiler, which slows down
    print(f"{torch.cuda.get_device_name()}, {STEPS} steps, batches of {way.loader.batch_size}")
    print(f"images per second            {way.rates[-1]:8.1f}")
    print(f"GPU idle, of the whole time  {idle_share(spans):8.1%}")


def idle_share(spans: Iterable[tuple[float, float]]) -> float:
    """The share of the time, from the first start to the last end, in which no span runs; they may overlap."""
    ordered = sorted(spans)
    start = until = ordered[0][0]
    idle = 0.0
    for begin, end in ordered:
        idle += max(0.0, begin - until)
        until = max(until, end)
    return idle / (until - start)
