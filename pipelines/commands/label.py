"""``label``: MONAI Label with bundles in it."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from ..arguments import port
from .verb import Verb


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("bundles", nargs="+", metavar="BUNDLE", help="a bundle's name or folder")
    parser.add_argument("--studies", required=True, metavar="DIR_OR_URL", help="of images, or of a DICOMweb service")
    parser.add_argument("--app", default="monailabel_app", metavar="DIR", help="of the application, made if missing")
    parser.add_argument("--port", type=port)
    text = "of other web pages that may use it, such as http://localhost:3000; may be repeated"
    parser.add_argument("--allow-origin", dest="origins", action="append", default=[], metavar="ORIGIN", help=text)
    text = "with the token that must be given as a bearer token or as the password; made if missing"
    parser.add_argument("--token", metavar="FILE", help=text)


def run(bundles: Sequence[str], **settings: Any) -> None:
    from ..bundle import Bundle
    from ..label.server import start_server

    start_server([Bundle.find(bundle, to_change=True) for bundle in bundles], **settings)


LABEL = Verb("label", "start MONAI Label with bundles in it, for this machine alone", add_arguments, run)
