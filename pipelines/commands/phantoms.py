"""``phantoms`` and ``ct_phantoms``: drawn images with their truth, for when there are no data."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from ..arguments import positive, seed
from .verb import Verb


def _add_cohort(parser: ArgumentParser, patients: int, size: int, of: str) -> None:
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--patients", type=positive, default=patients)
    parser.add_argument("--size", type=positive, default=size, help=f"rows and columns{of}, in pixels")
    parser.add_argument("--seed", type=seed, default=0)


def add_arguments(parser: ArgumentParser) -> None:
    _add_cohort(parser, patients=120, size=512, of="")
    parser.add_argument("--truth", choices=("boxes", "lungs", "opacity"), default="boxes")


def run(**settings: Any) -> None:
    from ..phantoms.radiographs import draw_phantoms

    draw_phantoms(**settings)


def add_ct_arguments(parser: ArgumentParser) -> None:
    _add_cohort(parser, patients=16, size=128, of=" of a slice")


def run_ct(**settings: Any) -> None:
    from ..phantoms.ct import draw_ct_phantoms

    draw_ct_phantoms(**settings)


PHANTOMS = Verb("phantoms", "draw phantom radiographs, with boxes or masks", add_arguments, run)
CT_PHANTOMS = Verb(
    "ct_phantoms", "draw phantom CT in the layout of the abdominal trauma challenge", add_ct_arguments, run_ct
)
