"""What reading any DICOM image needs: errors that name the file, and decoding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from ..errors import DataError


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Headers can be wrong in more ways than can be listed: any failure is reported with the file's name."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{path}: its header cannot be used ({type(error).__name__}: {error}). Correct or leave out the file."
        ) from error


def decode(dataset: Dataset, path: Path) -> np.ndarray:
    """The stored values of a data set, of shape (rows, columns) for a single frame.

    Raises:
        DataError: if no decoder is installed for its transfer syntax, or its pixel data are damaged.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        return dataset.pixel_array
    except Exception as error:  # the decoders raise what they like
        if "missing" in str(error) and "dependenc" in str(error):
            raise DataError(
                f"{path}: no decoder is installed for its transfer syntax, {syntax.name} ({syntax}). "
                "Install the decoders: pip install python-gdcm pylibjpeg pylibjpeg-openjpeg"
            ) from error
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{path}: its pixel data ({syntax.name}) cannot be decoded: {reason} The file may be damaged: copy it "
            "again, or export it uncompressed."
        ) from error


def first_bytes(path: Path) -> str:
    """How a file begins, for an error that says what it is instead of what it should be."""
    with open(path, "rb") as file:
        start = file.read(16)
    return f"it begins with {start!r}" if start else "it is empty"
