"""``manifest``: a manifest from a data set's folder, of one of several kinds."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from .verb import Verb


def _rsna(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="holds stage_2_train_images/ and both CSV files")
    _add_out(parser)
    parser.add_argument("--name", default="rsna")
    _add_split(parser, (0.7, 0.15, 0.15))
    parser.add_argument("--persons", metavar="CSV", help="patientId,nih_image: the person behind each image")
    parser.add_argument("--checksums", action="store_true", help="note each file's SHA-256")
    parser.add_argument("--unknown_spacing", choices=("refuse", "pixels"), default="refuse")


def _trauma(parser: ArgumentParser, holds: str = "train_images/, segmentations/") -> None:
    parser.add_argument("folder", metavar="DIR", help=f"holds {holds}")
    _add_out(parser)
    parser.add_argument("--name")
    _add_split(parser, (0.7, 0.15, 0.15))


def _trauma_png(parser: ArgumentParser) -> None:
    _trauma(parser, holds="images/ and masks/")


def _masks(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="images below CXR_png/, images/ or image/, masks below masks/ …")
    parser.add_argument("--task", required=True, choices=("lungs", "opacity"))
    _add_out(parser)
    parser.add_argument("--name", required=True)
    parser.add_argument("--licence")
    _add_split(parser, (0.8, 0.1, 0.1))
    parser.add_argument("--patients", metavar="CSV", help="image,patient: which images are of one patient")


def _add_out(parser: ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="FILE", help="the manifest to write")


def _add_split(parser: ArgumentParser, fractions: tuple[float, float, float]) -> None:
    names = ("TRAINING", "VALIDATION", "TEST")
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    parser.add_argument("--fractions", type=float, nargs=3, default=fractions, metavar=names)


class Kind(NamedTuple):
    """A kind of manifest: the module of ``pipelines`` that builds it, by which function, and from what."""

    module: str
    build: str
    help: str
    add_arguments: Callable[[ArgumentParser], None]


TRAUMA = "the RSNA 2023 Abdominal Trauma challenge"
KINDS = {
    "rsna": Kind("rsna", "build_rsna_manifest", "the RSNA Pneumonia Detection Challenge, or data in its layout", _rsna),
    "trauma": Kind("abdominal_trauma", "build_abdominal_trauma_manifest", f"{TRAUMA}, or data in its layout", _trauma),
    "trauma_png": Kind("abdominal_trauma", "build_png_slices_manifest", f"PNG slices of {TRAUMA}", _trauma_png),
    "masks": Kind("masks", "build_masks_manifest", "folders of radiographs and of masks drawn on them", _masks),
}


def add_arguments(parser: ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for name, kind in KINDS.items():
        kind.add_arguments(kinds.add_parser(name, help=kind.help))


def run(kind: str, **settings: Any) -> None:
    module = import_module(f"..{KINDS[kind].module}", __package__)
    getattr(module, KINDS[kind].build)(**settings)


MANIFEST = Verb("manifest", "make a manifest from a data set's folder", add_arguments, run)
