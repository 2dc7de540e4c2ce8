"""``benchmark`` and ``latency``: how fast a bundle trains, and how fast its network answers."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from .verb import Verb, add_bundle, add_data


def add_benchmark_arguments(parser: ArgumentParser) -> None:
    add_bundle(parser)
    add_data(parser)


def run_benchmark(bundle: str, **overrides: Any) -> None:
    from ..bundle import Bundle
    from ..timing.training import benchmark

    benchmark(Bundle.find(bundle), **overrides)


def run_latency(bundle: str) -> None:
    from ..bundle import Bundle
    from ..timing.latency import latency

    latency(Bundle.find(bundle))


BENCHMARK = Verb(
    "benchmark",
    "images per second of training, beside the usual way, as ratios",
    add_benchmark_arguments,
    run_benchmark,
)
LATENCY = Verb(
    "latency",
    "milliseconds an image of a bundle's network: eager, compiled, exported, ONNX Runtime, from one run",
    add_bundle,
    run_latency,
)
