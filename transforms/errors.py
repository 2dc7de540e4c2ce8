"""The error that tells users what is wrong with their data, and which errors and notices a program shows."""

from __future__ import annotations

import errno
import logging
import sys
import warnings
from io import TextIOWrapper
from types import TracebackType

# What can be wrong with a disk at any time: no bug, so told in one line too
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)


class DataError(ValueError):
    """Something a user gave cannot be used. The message names the file or field, and the fix."""

    plain = True  # the message says it all: see prepare_console


class DiskError(DataError):
    """A file cannot be written, and others will fare no better: the disk is full, say."""


def plain_error(error: BaseException | None) -> BaseException | None:
    """The error meant for a user that an error came from, if any: MONAI wraps what its components raise.

    An error of the disk, full or not to be written to, is one too.
    """
    while error is not None and not getattr(error, "plain", False) and getattr(error, "errno", None) not in OF_THE_DISK:
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
    logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        plain = plain_error(error)
        if issubclass(kind, KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
        elif plain is None:
            sys.__excepthook__(kind, error, traceback)
        else:
            print(f"error: {plain}", file=sys.stderr)

    sys.excepthook = hook
