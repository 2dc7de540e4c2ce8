"""The error that tells users what is wrong with their data, and which errors and notices a program shows."""

from __future__ import annotations

import sys
import warnings
from io import TextIOWrapper
from types import TracebackType


class DataError(ValueError):
    """Something a user gave cannot be used. The message names the file or field, and the fix."""

    plain = True  # the message says it all: see show_errors_plainly


def plain_error(error: BaseException | None) -> BaseException | None:
    """The error meant for a user that an error came from, if any: MONAI wraps what its components raise."""
    while error is not None and not getattr(error, "plain", False):
        error = error.__cause__
    return error


def prepare_console() -> None:
    """Called by programs, never by libraries: what concerns a user is shown plainly, and what does not is not shown.

    A program ends with one message, and without a traceback, where the error is meant for its user. MONAI's notice
    that an optional GPU decoder is not installed is left out. What of a file's name is no text is shown escaped.
    """
    warnings.filterwarnings("ignore", module="pydicom")  # which quotes values, such as names of patients
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader")

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        plain = plain_error(error)
        if plain is None:
            sys.__excepthook__(kind, error, traceback)
        else:
            print(f"error: {plain}", file=sys.stderr)

    sys.excepthook = hook
