"""How fast a bundle trains: images per second, cached and not, beside the usual way, as ratios from one run."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from monai.data import DataLoader, Dataset
from monai.engines import default_prepare_batch
from monai.transforms import Compose, EnsureTyped

from ..bundle import Bundle
from ..training.cached_slices import CachedSlices
from .usual_loader import usual_loaders

ROUNDS, STEPS = 5, 6


class Way:
    """One way of training, timed some steps at a time."""

    def __init__(
        self,
        bundle: Bundle,
        overlays: list[str],
        cached: bool,
        overrides: dict[str, Any],
        loader: torch.utils.data.DataLoader | None = None,
    ):
        self.cached = cached
        parser = bundle.read(["train", *overlays], **overrides)
        self.loader: torch.utils.data.DataLoader
        if loader is not None:
            self.loader = loader
        elif not cached:
            data, transform = (parser.get_parsed_content(f"train#{key}") for key in ("dataset#data", "preprocessing"))
            dataset = Dataset(data, Compose([transform, EnsureTyped(["image", "label"], track_meta=False)]))
            self.loader = DataLoader(dataset, batch_size=parser["batch_size"], shuffle=True)
        else:
            self.loader = parser.get_parsed_content("train#dataloader")
        self.network, self.loss, self.optimizer, self.device = (
            parser.get_parsed_content(key) for key in ("network", "loss", "optimizer", "device")
        )
        # a loader of one's own has augmented already
        prepare = parser.get_parsed_content("train#trainer#prepare_batch", default=None) if loader is None else None
        self.prepare = prepare or default_prepare_batch
        self.batches = self._forever()
        self.rates: list[float] = []
        self.waits: list[float] = []
        self.preparing: list[float] = []

    def _forever(self) -> Iterator[dict[str, torch.Tensor]]:
        while True:
            yield from self.loader

    def time(self, steps: int, keep: bool) -> None:
        images, waited, prepared, since = 0, 0.0, 0.0, time.perf_counter()
        for _ in range(steps):
            asked = time.perf_counter()
            batch = next(self.batches)
            got = time.perf_counter()
            image, label = self.prepare(batch, self.device, non_blocking=True)
            waited, prepared = waited + got - asked, prepared + time.perf_counter() - got
            self.optimizer.zero_grad()
            loss = self.loss(self.network(image), label)
            loss.backward()
            self.optimizer.step()
            images += len(image)
        loss.item()  # waits for the device
        seconds = time.perf_counter() - since
        if keep:
            self.rates.append(images / seconds)
            self.waits.append(waited / seconds)
            self.preparing.append(prepared / seconds)


def benchmark(bundle: Bundle, **overrides: Any) -> None:
    """Time the training of a bundle and of its ``usual_way.json``, in turn, and print medians and ratios.

    Of radiographs, the same network in float32 with a loader as people write one too, see
    :mod:`pipelines.timing.usual_loader`. Two columns are shares of the time: waiting for the loader, and moving and
    augmenting batches. On a GPU, which works on while the CPU goes on, the latter is what the CPU takes to ask for it;
    see :mod:`pipelines.timing.gpu`.

    Args:
        bundle: that has such an overlay.
        overrides: of the configuration, as ``dataset_dir`` and ``manifest``.
    """
    ours: list[str] = []
    usual = ["usual_way"]
    ways = {
        "usual way, cached": Way(bundle, usual, True, overrides),
        "this bundle, cached": Way(bundle, ours, True, overrides),
    }
    if not isinstance(ways["this bundle, cached"].loader.dataset, CachedSlices):  # else a volume is read for each slice
        ways = {
            "usual way, not cached": Way(bundle, usual, False, overrides),
            "this bundle, not cached": Way(bundle, ours, False, overrides),
        } | ways
    loader = ways["this bundle, cached"].loader
    with usual_loaders(loader.dataset, loader.batch_size or 1) as loaders:
        for name, loader in loaders.items():
            ways[name] = Way(bundle, ours, True, overrides | {"precision": "float32"}, loader)
        _time_in_turn(ways)
    slowest = min(statistics.median(way.rates) for way in ways.values())
    print(f"medians of {ROUNDS} rounds, {os.cpu_count()} cores")
    print(f"{'':40}images per second  ratio  loader  augmentation")
    for name, way in ways.items():
        rate, wait, prepare = (statistics.median(values) for values in (way.rates, way.waits, way.preparing))
        print(f"{name:40}{rate:17.1f}  {rate / slowest:5.2f}  {wait:6.1%}  {prepare:12.1%}")


def _time_in_turn(ways: dict[str, Way]) -> None:
    for way in ways.values():
        way.time(len(way.loader) if way.cached else 2, keep=False)  # warms up; from the second epoch on, if cached
    for _ in range(ROUNDS):  # in turn, so that a machine that gets slower does so for all
        for way in ways.values():
            way.time(STEPS, keep=True)
