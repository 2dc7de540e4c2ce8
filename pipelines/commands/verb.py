"""What a verb of the command line is, and the arguments that several verbs take."""

from __future__ import annotations

import json
import logging
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, NamedTuple

from ..arguments import positive

if TYPE_CHECKING:
    from ..bundle import Bundle


class Verb(NamedTuple):
    """A verb of the command line.

    Attributes:
        name: what a user types.
        help: one line.
        add_arguments: adds the verb's arguments to its parser.
        run: takes the arguments that were given, by name, and returns the exit code, or None for 0. It imports what
            it needs itself: help must not wait for torch and MONAI.
        epilog: the last lines of the verb's own help.
        error_code: the exit code if ``run`` raises an error that is meant for the user.
    """

    name: str
    help: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[..., int | None]
    epilog: str | None = None
    error_code: int = 1


def add_bundle(parser: ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle's name or folder")


def add_data(parser: ArgumentParser) -> None:
    parser.add_argument("--manifest", metavar="FILE")
    parser.add_argument("--dataset_dir", metavar="DIR", help="what the manifest's paths are relative to")


def add_weights(parser: ArgumentParser) -> None:
    """The weights, and what the network was when they were trained."""
    parser.add_argument("--weights", metavar="FILE")
    text = "use the weights though they are not those that the JSON file beside them was written for"
    parser.add_argument("--force_weights", action="store_true", default=None, help=text)
    parser.add_argument("--overlays", nargs="*", default=(), metavar="NAME", help="of the bundle, such as classic")
    parser.add_argument("--image_size", type=positive, help="that the weights were trained with")


def add_saying(parser: ArgumentParser) -> None:
    """How much is said, and where. The verb uses :func:`saying`."""
    parser.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors, show no progress")
    text = "write the summary to stdout, as JSON, and nothing else there: messages go to stderr"
    parser.add_argument("--json", action="store_true", dest="as_json", help=text)


@contextmanager
def saying(quiet: bool, as_json: bool) -> Iterator[Callable[[Any], None]]:
    """While the block runs, messages are as a user wants them. Yields what is to be called with the summary."""
    if quiet:
        logging.root.setLevel(logging.WARNING)
    if not as_json:
        yield lambda summary: None
        return
    stdout, summaries = sys.stdout, list[Any]()
    for handler in logging.root.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is stdout:
            handler.setStream(sys.stderr)
    with redirect_stdout(sys.stderr):
        yield summaries.append
    for summary in summaries:
        stdout.write(f"{json.dumps(summary, indent=2)}\n")


def add_unknown_spacing(parser: ArgumentParser) -> None:
    """Named after the key of the configuration that it overrides. The verb calls :func:`check_unknown_spacing`."""
    parser.add_argument("--unknown_spacing", dest="reader#unknown_spacing", choices=("refuse", "pixels"))


def check_unknown_spacing(bundle: Bundle, settings: dict[str, Any]) -> None:
    """Check that ``--unknown_spacing`` was given for radiographs only.

    Raises:
        DataError: if not.
    """
    from transforms import DataError

    if "reader#unknown_spacing" in settings and bundle.is_volumetric:
        raise DataError(f"{bundle.name}: has no --unknown_spacing, which is for radiographs. Leave it out.")
