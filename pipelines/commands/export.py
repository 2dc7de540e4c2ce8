"""``export``: a bundle's network for other programs."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from .verb import Verb, add_bundle, add_weights


def add_arguments(parser: ArgumentParser) -> None:
    add_bundle(parser)
    add_weights(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="the .onnx or .pt2 file to write")


def run(bundle: str, **settings: Any) -> None:
    from ..bundle import Bundle
    from ..sharing.export import export

    export(Bundle.find(bundle), **settings)


EXPORT = Verb("export", "a bundle's network as ONNX or torch.export, checked against torch", add_arguments, run)
