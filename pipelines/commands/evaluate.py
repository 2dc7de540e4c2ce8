"""``evaluate``: a bundle's model, measured on one split."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from .verb import Verb, add_bundle, add_data, add_unknown_spacing, add_weights, check_unknown_spacing


def add_arguments(parser: ArgumentParser) -> None:
    add_bundle(parser)
    add_data(parser)
    add_weights(parser)
    add_unknown_spacing(parser)
    parser.add_argument("--evaluation", nargs="*", default=(), metavar="NAME", help="overlays of the evaluation alone")
    parser.add_argument("--split", choices=("training", "validation", "test"))
    parser.add_argument("--output", dest="output_dir", metavar="DIR")


def run(bundle: str, overlays: Sequence[str], evaluation: Sequence[str], **overrides: Any) -> None:
    from monai.bundle import run as run_configuration

    from ..bundle import Bundle

    found = Bundle.find(bundle)
    check_unknown_spacing(found, overrides)
    files = found.files(["train", *overlays, "evaluate", *evaluation])
    run_configuration(run_id="evaluating", config_file=files, bundle_root=str(found.root), **overrides)


EVALUATE = Verb("evaluate", "measure a bundle's model on one split of a manifest", add_arguments, run)
