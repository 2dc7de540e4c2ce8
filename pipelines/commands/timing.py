"""``benchmark`` and ``latency``: how fast a bundle trains, reads and predicts, and how fast its network answers."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from .verb import Verb, add_bundle, add_data

SUBJECTS = ("training", "gpu", "reading", "outputs", "prediction", "evaluation", "growth")


def add_benchmark_arguments(parser: ArgumentParser) -> None:
    text = "training: beside the usual way; gpu: how idle training leaves it; reading: beside bare decoding; outputs, "
    text += "prediction, evaluation: beside plain MONAI; "
    parser.add_argument("subject", choices=SUBJECTS, help=text + "growth: what more images cost")
    add_bundle(parser)
    add_data(parser)


def run_benchmark(subject: str, bundle: str, **overrides: Any) -> None:
    from importlib import import_module

    from transforms import DataError

    from ..bundle import Bundle

    if subject != "training" and overrides:
        raise DataError(f"{subject} is timed on phantoms: leave out --manifest and --dataset_dir.")
    module = import_module(f"..timing.{'prediction' if subject == 'growth' else subject}", __package__)
    getattr(module, "benchmark" if subject == "training" else subject)(Bundle.find(bundle, to_change=True), **overrides)


def run_latency(bundle: str) -> None:
    from ..bundle import Bundle
    from ..timing.latency import latency

    latency(Bundle.find(bundle))


BENCHMARK = Verb(
    "benchmark",
    "how fast training, reading and prediction are, beside other ways, as ratios from one run",
    add_benchmark_arguments,
    run_benchmark,
)
LATENCY = Verb(
    "latency",
    "milliseconds an image of a bundle's network: eager, compiled, exported, ONNX Runtime, from one run",
    add_bundle,
    run_latency,
)
