"""What reading any DICOM image needs: errors that name the file, opening, and decoding."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from ..errors import DataError
from .bounds import MAX_ELEMENTS, MAX_FILE, Stream, check_regular, check_size, check_stream, inflated
from .worker import LIMITS, Limits, UndecodableError, decoded

LONG_VALUE = 4096  # bytes: what is longer is read when it is asked for
ITEM, END_OF_ITEMS = 0xFFFEE000, 0xFFFEE0DD


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


def open_dicom(path: os.PathLike | str, inflate: bool = True, **settings: Any) -> Dataset:
    """Read a DICOM file as ``pydicom.dcmread`` does, its long values, such as pixels, when they are asked for.

    Deflated files (PS3.5 A.5) are inflated up to :data:`bounds.MAX_INFLATED`, and elements are read up to
    :data:`bounds.MAX_ELEMENTS`, where pydicom knows no limit.

    Args:
        path: the file.
        inflate: whether to do so, or to refuse such a file unread.
        settings: of ``dcmread``.

    Raises:
        DataError: if it is no regular file, has too many elements, or is deflated and cannot be inflated.
        Exception: whatever pydicom raises on damaged files, ``InvalidDicomError`` if it is not DICOM.
    """
    path = Path(path)
    check_regular(path)
    with _File(path) as file:
        read_preamble(file, force=False)
        meta = _read_file_meta_info(file)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            file.seek(0)
            return pydicom.dcmread(file, defer_size=LONG_VALUE, **settings)
        if not inflate:
            raise DataError(
                f"{path}: is deflated ({DeflatedExplicitVRLittleEndian}), which is not read while files are listed. "
                "Export it as Explicit VR Little Endian, as with dcmconv +te IN OUT."
            )
        content = inflated(file, path)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian  # as it is from here on
    start = DicomBytesIO()
    start.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(start, meta, enforce_standard=False)
    with _Inflated(start.getvalue() + content, path) as whole:
        return pydicom.dcmread(whole, **settings)


class _Count:
    """Counts what is read of a file: pydicom reads each element by itself, however many there are."""

    def __init__(self, path: Path):
        self.path, self.left = path, 2 * MAX_ELEMENTS  # the head of each and its value

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise DataError(
                f"{self.path}: has more than {MAX_ELEMENTS} elements: it is damaged, or no image. Leave it out."
            )


class _File(io.BufferedReader):
    """By its kind pydicom knows that it can open the file again, for the values that it deferred."""

    def __init__(self, path: Path):
        super().__init__(io.FileIO(os.fspath(path)))
        self.count = _Count(path)

    def read(self, size: int | None = -1, /) -> bytes:
        self.count()
        return super().read(size)


class _Inflated(io.BytesIO):
    def __init__(self, content: bytes, path: Path):
        super().__init__(content)
        self.count = _Count(path)

    def read(self, size: int | None = -1, /) -> bytes:
        self.count()
        return super().read(size)


def raw_element(dataset: Dataset, keyword: str) -> RawDataElement:
    """An element as it stands in the file, its value unread where it is long."""
    try:
        return cast(RawDataElement, dataset.get_item(keyword, keep_deferred=True))
    except TypeError:  # pydicom 2, which reads it
        return cast(RawDataElement, dataset.get_item(keyword))


def decode(dataset: Dataset, path: Path, limits: Limits = LIMITS) -> np.ndarray:
    """The stored values of a single grey frame, of shape (rows, columns).

    Compressed values are decoded by another process: see :func:`worker.decoded`.

    Raises:
        DataError: if it has several frames or samples a pixel, is too large (:func:`bounds.check_size`), is not of the
            size and depth that its header says, is damaged, or does what ``limits`` do not allow.
    """
    with naming(path):
        syntax = dataset.file_meta.TransferSyntaxUID
        rows, columns = _whole(dataset, "Rows"), _whole(dataset, "Columns")
        frames, samples = _whole(dataset, "NumberOfFrames", 1), _whole(dataset, "SamplesPerPixel", 1)
        allocated, stored = _whole(dataset, "BitsAllocated"), _whole(dataset, "BitsStored")
        if frames != 1 or samples != 1:
            raise DataError(f"{path}: has {frames} frames of {samples} samples a pixel. Save one frame in grey.")
        check_size(rows, columns, path)
        size = os.path.getsize(path) if path.exists() else 0  # a dataset in memory has no file
        if size > MAX_FILE:
            raise DataError(f"{path}: has {size} bytes; at most {MAX_FILE} are read. Leave it out.")
        compressed = syntax.is_encapsulated
        frame = _frame(dataset.PixelData, path) if compressed else b""
    try:
        if not compressed:
            return dataset.pixel_array
        check_stream(frame, syntax, Stream(rows, columns, allocated, samples), stored, path)
        return decoded(path, "dicom", [(rows, columns)], limits, frame, syntax=str(syntax), tags=_tags(dataset))
    except Exception as error:
        if isinstance(error, DataError) and not isinstance(error, UndecodableError):
            raise
        reason = error.reason if isinstance(error, UndecodableError) else _first_line(error)
        if "missing" in reason and "dependenc" in reason:
            raise DataError(
                f"{path}: no decoder is installed for its transfer syntax, {syntax.name} ({syntax}). Install the "
                "decoders: pip install python-gdcm pyjpegls pylibjpeg pylibjpeg-openjpeg"
            ) from error
        raise DataError(
            f"{path}: its pixel data ({syntax.name}) cannot be decoded: {reason.rstrip('.')}. The file may be damaged: "
            "copy it again, or export it uncompressed."
        ) from error


def check_representation(dataset: Dataset, keyword: str) -> None:
    """Check that a tag, if it is there, is stored in a way that is its own (PS3.6): a text read as a number is another.

    Raises:
        ValueError: if not.
    """
    allowed = dictionary_VR(keyword).split(" or ")
    if keyword in dataset and dataset[keyword].VR not in allowed:
        raise ValueError(f"{keyword} has the value representation {dataset[keyword].VR}, not {allowed[0]}")


def _whole(dataset: Dataset, keyword: str, missing: int | None = None) -> int:
    """A number that counts something. Raises ValueError if it is none, as 1.5 frames are, or TypeError."""
    check_representation(dataset, keyword)
    value = dataset.get(keyword) or missing
    if int(value) != value:  # type: ignore[arg-type]  # None raises a TypeError
        raise ValueError(f"{keyword} is {value!r}, not a whole number")
    return int(value)


def _tags(dataset: Dataset) -> dict[str, int | str]:
    """What a decoder needs to know of a grey frame."""
    numbers = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation")
    tags: dict[str, int | str] = {tag: int(dataset[tag].value) for tag in numbers}
    tags |= {"HighBit": int(dataset.BitsStored) - 1, "SamplesPerPixel": 1}
    return tags | {"PhotometricInterpretation": str(dataset.PhotometricInterpretation)}


def _frame(data: bytes, path: Path) -> bytes:
    """The fragments of the only frame, joined; the offset table before them is passed over (PS3.5 A.4)."""
    items, place = [], 0
    while place + 8 <= len(data):
        group, element, length = struct.unpack_from("<HHI", data, place)
        tag, place = group << 16 | element, place + 8
        if tag == END_OF_ITEMS:
            break
        if tag != ITEM or place + length > len(data):
            raise DataError(f"{path}: the fragments of its pixel data do not fit together. Copy it again.")
        items.append(data[place : place + length])
        place += length
    if len(items) < 2:
        raise DataError(f"{path}: its pixel data have no fragment. Copy it again.")
    return b"".join(items[1:])


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def first_bytes(path: Path) -> str:
    """How a file begins, for an error that says what it is instead of what it should be."""
    with open(path, "rb") as file:
        start = file.read(16)
    return f"it begins with {start!r}" if start else "it is empty"
