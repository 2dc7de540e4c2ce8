"""``package`` and ``verify``: bundles to pass on, and those that others passed on."""

from __future__ import annotations

from argparse import ArgumentParser

from .verb import Verb, add_bundle


def add_arguments(parser: ArgumentParser) -> None:
    add_bundle(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="the zip file to write")


def run(bundle: str, out: str) -> None:
    from ..bundle import Bundle
    from ..sharing.package import package

    package(Bundle.find(bundle), out)


def add_verify_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")


def run_verify(file: str) -> None:
    from ..sharing.verify_package import verify

    verify(file)


PACKAGE = Verb("package", "a bundle in one file that runs without this project", add_arguments, run)
VERIFY = Verb(
    "verify",
    "check a packaged bundle without unpacking it, and list what of it is code, without running any",
    add_verify_arguments,
    run_verify,
)
