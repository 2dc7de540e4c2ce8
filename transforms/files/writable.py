"""Whether folders can be written to, before hours are spent."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence

from ..errors import DataError


def check_writable(folders: Sequence[os.PathLike | str]) -> None:
    """Make folders where missing and write a file into each, before hours are spent.

    Raises:
        DataError: with the folder that cannot be written to.
    """
    for folder in folders:
        try:
            os.makedirs(folder, exist_ok=True)
            with tempfile.TemporaryFile(dir=os.fspath(folder)):
                pass
        except OSError as error:
            raise DataError(
                f"{folder}: cannot be written to ({error.strerror}). Give another folder, or correct its permissions."
            ) from error
