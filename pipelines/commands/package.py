"""``init``: bundles to change. ``package`` and ``verify``: those to pass on, and those that others passed on."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from .verb import Verb, add_bundle


def add_arguments(parser: ArgumentParser) -> None:
    add_bundle(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="the zip file to write")
    parser.add_argument("--sign", dest="key", metavar="KEY", help="also sign it with this private key, to FILE.sig")


def run(bundle: str, **settings: Any) -> None:
    from ..bundle import Bundle
    from ..sharing.package import package

    package(Bundle.find(bundle), **settings)


def add_verify_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--key", metavar="PUBKEY", help="the public key that it must be signed with, in FILE.sig")
    text = "Python that the configuration may name, beside what this project's bundles name; may be repeated"
    parser.add_argument("--allow", action="append", default=[], metavar="NAME", help=text)


def run_verify(file: str, **settings: Any) -> int:
    from ..sharing.verify_package import verify

    return 1 if verify(file, **settings) else 0


def add_init_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="bundles, so that all commands of the documents work as they are")
    parser.add_argument("bundles", nargs="*", metavar="BUNDLE", help="by default all that came with this program")


def run_init(folder: str, bundles: list[str]) -> None:
    from pathlib import Path

    from transforms import DataError

    from ..bundle import Bundle

    found = [Bundle.find(name) for name in bundles or Bundle.names()]
    for bundle in found:
        if (target := Path(folder, bundle.name)).exists():  # before any is copied
            raise DataError(f"{target}: is there already, and is kept. Give another folder, or other bundles.")
    for bundle in found:
        print(bundle.copy(folder))


INIT = Verb("init", "copy bundles into a folder of your own, to train or change them", add_init_arguments, run_init)
PACKAGE = Verb("package", "a bundle in one file that runs without this project", add_arguments, run)
VERIFY = Verb(
    "verify",
    "check a packaged bundle without unpacking or running it, and show how it differs from the one here",
    add_verify_arguments,
    run_verify,
    epilog="exit code: 0 all is as here, 1 something is not, or is refused",
)
