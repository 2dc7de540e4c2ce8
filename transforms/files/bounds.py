"""What a file is and says of its size, checked before anything is decoded: no decoder sees what cannot be right."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import DataError

MAX_PIXELS = 100_000_000  # of an image; the largest radiographs, stitched ones of whole legs, have half as many
MAX_FILE = 2**30  # bytes of a DICOM file whose pixels are read
MAX_INFLATED = 2**28  # bytes of a deflated DICOM file: such an image of 16 bits, and its header
MAX_ELEMENTS = 50_000  # of a DICOM file, nested ones too: images have some hundreds

CHUNK = 2**20  # bytes

# ISO 10918-1 B.1.1.3 and 14495-1 C.1.1: markers that begin a frame header; those that stand alone; the first scan
FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
ALONE = {0x01, *range(0xD0, 0xD9)}
SCAN, END = 0xDA, 0xD9
SIZ = b"\xff\x4f\xff\x51"  # the beginning of a JPEG 2000 codestream, ISO 15444-1 A.5.1
JP2_HEADER = 2**16  # bytes within which a codestream begins where a JP2 header, which DICOM forbids, precedes it

# What of Annex A of PS3.5 has which kind of stream
LOSSY_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
JPEG = (*LOSSY_JPEG, *(f"1.2.840.10008.1.2.4.{number}" for number in (57, 70, 80, 81)))
JPEG_2000 = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 92, 93, 201, 202, 203))
RLE = "1.2.840.10008.1.2.5"


class Stream(NamedTuple):
    """What a compressed stream says of itself; ``bits`` are those of a sample."""

    rows: int
    columns: int
    bits: int
    samples: int


def check_regular(path: Path) -> None:
    """Check that a path is a file, before it is opened: the opening of a pipe waits for its other end.

    Raises:
        DataError: if it is missing, or anything else than a regular file or a link to one.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        what = "no such file" if not path.is_symlink() else "a link that leads nowhere"
        raise DataError(f"{path}: {what if isinstance(error, FileNotFoundError) else error.strerror}.") from error
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}
        raise DataError(f"{path}: is no regular file but {kinds.get(stat.S_IFMT(mode), 'a device')}. Leave it out.")


def check_size(rows: int, columns: int, path: Path) -> None:
    """Check that an image is no larger than images of patients are.

    Raises:
        DataError: with its size and the limit.
    """
    if not 0 < rows * columns <= MAX_PIXELS or rows < 0:
        raise DataError(
            f"{path}: has {columns} x {rows} pixels, {rows * columns / 1e6:.4g} megapixels; at most "
            f"{MAX_PIXELS / 1e6:g} are read. Correct its size, or leave it out."
        )


def check_stream(frame: bytes, syntax: str, said: Stream, stored: int, path: Path) -> None:
    """Check that a compressed frame is of the size, depth and samples that its DICOM header says.

    The depth of a lossy JPEG stream must be BitsStored (PS3.5 A.4.1, tables of valid values). A lossless one may have
    up to BitsAllocated, since encoders differ in it, and JPEG 2000 fewer than BitsStored too.

    Args:
        frame: the fragments of one frame, joined.
        syntax: the transfer syntax; what has no stream that is known here passes.
        said: what the header says; its ``bits`` are BitsAllocated.
        stored: BitsStored.
        path: the file, for errors.

    Raises:
        DataError: with both figures.
    """
    if syntax == RLE:
        planes = struct.unpack_from("<I", frame)[0] if len(frame) >= 64 else 0  # PS3.5 G.5
        expected = said.samples * said.bits // 8
        if planes != expected:
            raise DataError(f"{path}: its RLE stream has {planes} segments, its header says {expected}. {_EXPORT}")
        return
    if syntax not in JPEG + JPEG_2000:
        return
    found = jpeg_stream(frame) if syntax in JPEG else jpeg_2000_stream(frame)
    if found is None:
        kind = "JPEG" if syntax in JPEG else "JPEG 2000"
        raise DataError(f"{path}: its pixel data do not begin as a {kind} stream does. {_EXPORT}")
    if (found.rows, found.columns) != (said.rows, said.columns):
        raise DataError(
            f"{path}: its stream is of {found.columns} x {found.rows} pixels, its Columns and Rows (0028,0011 and "
            f"0028,0010) are {said.columns} and {said.rows}. {_EXPORT}"
        )
    if found.samples != said.samples:
        raise DataError(
            f"{path}: its stream has {found.samples} samples a pixel, its SamplesPerPixel (0028,0002) is "
            f"{said.samples}. {_EXPORT}"
        )
    if found.bits > said.bits or (syntax in LOSSY_JPEG and found.bits != stored):
        raise DataError(
            f"{path}: its stream has {found.bits} bits a sample, its BitsStored (0028,0101) is {stored} and its "
            f"BitsAllocated (0028,0100) {said.bits}. {_EXPORT}"
        )


_EXPORT = "The file is damaged: copy it again, or export it uncompressed."


def jpeg_stream(data: bytes) -> Stream | None:
    """What the frame header of a JPEG stream says, lossless and JPEG-LS ones too, or None if it has none.

    ISO 10918-1 B.2.2: a marker, a length, the precision, lines, samples per line and components.
    """
    if not data.startswith(b"\xff\xd8"):
        return None
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == 0xFF or marker in ALONE:  # a fill byte, or a marker without a length
            place += 1 if marker == 0xFF else 2
        elif marker in FRAMES:
            if place + 10 > len(data):
                return None
            bits, rows, columns, samples = struct.unpack_from(">BHHB", data, place + 4)
            return Stream(rows, columns, bits, samples)
        elif marker in (SCAN, END):
            return None
        else:
            place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    return None


def jpeg_2000_stream(data: bytes) -> Stream | None:
    """What the SIZ marker of a JPEG 2000 stream says (ISO 15444-1 A.5.1), or None if it has none."""
    place = data.find(SIZ, 0, JP2_HEADER)
    if place < 0 or place + 43 > len(data):
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, place + 8)
    samples, depth = struct.unpack_from(">HB", data, place + 40)
    return Stream(bottom - top, right - left, (depth & 0x7F) + 1, samples)


def inflated(file: BinaryIO, path: Path) -> bytes:
    """What follows in a file, inflated (RFC 1951), and no more of it than :data:`MAX_INFLATED`.

    Raises:
        DataError: if there is more, or it is damaged.
    """
    inflater, parts, length = zlib.decompressobj(-zlib.MAX_WBITS), [], 0
    try:
        while not inflater.eof:
            chunk = inflater.unconsumed_tail or file.read(CHUNK)
            parts.append(inflater.decompress(chunk, CHUNK))
            length += len(parts[-1])
            if length > MAX_INFLATED:
                raise DataError(
                    f"{path}: is {os.path.getsize(path)} bytes that inflate to more than {MAX_INFLATED}, the most that "
                    "is read. Export it as Explicit VR Little Endian, or leave it out."
                )
            if not chunk and not parts[-1]:
                raise DataError(f"{path}: its deflated data end too soon, it was cut short. Copy it again.")
    except zlib.error as error:
        raise DataError(f"{path}: cannot be inflated ({error}). The file is damaged: copy it again.") from error
    return b"".join(parts)
