"""Reads a packaged bundle without unpacking it: within bounds of memory, and every byte of it checked."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from transforms import DataError

from .content import CHECKSUMS, check_content, check_name, max_size, read_json, shown

MAX_FILES, MAX_BYTES = 1000, 2 * 1024**3  # of a package, and unpacked
# A package may unpack to the first and so many times its own size. Weights hardly shrink, texts are small.
GROWTH, ALWAYS = 4, 64 * 1024**2
CHUNK = 1024**2
MAX_DIRECTORY = MAX_FILES * 512  # bytes
END, END64 = struct.Struct("<4s4H2LH"), b"PK\6\7"  # the end of a zip, and what stands 20 bytes before it in a large one
UNIX, ZIP_VERSION, PLAIN_FILE = 3, 20, 0o100644 << 16  # the maker's system, the version of zip, each file's mode
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError, RecursionError)


@dataclass
class Contents:
    """What a package holds."""

    bundle: str  # the folder that unpacking makes
    checksums: dict[str, str]  # SHA-256 of each file, by its path in that folder
    settings: dict[str, bytes]  # the files that configure: .json and .conf


def read_package(file: os.PathLike | str) -> Contents:
    """Read a package and check all of it. No more is inflated than its size allows.

    Raises:
        DataError: if it is no zip file or a damaged one; holds a path that leaves its folder, a link, a name twice, a
            file that its checksums do not have or have otherwise, or bytes that belong to no file; is too large; or
            if a file is not what its name says, as :func:`check_content` has it.
    """
    try:
        if os.path.exists(file) and not os.path.isfile(file):
            raise DataError(f"{file}: is no file. Give the file of a packaged bundle.")
        if os.path.getsize(file) > MAX_BYTES:
            raise DataError(f"{file}: is larger than {MAX_BYTES} bytes. Do not unpack it.")
        with open(file, "rb") as stream:
            _check_end(str(file), stream)
            with zipfile.ZipFile(stream) as archive:
                return _read(str(file), stream, archive)
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read ({error.strerror or error}). Give the file of a packaged bundle."
        ) from error
    except DAMAGE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file}: is no zip file, or a damaged one ({shown(str(error))}). Fetch it again.") from error


def most_unpacked(size: int) -> int:
    """To how many bytes a package of ``size`` bytes may unpack."""
    return min(MAX_BYTES, ALWAYS + GROWTH * size)


def sha256_of(file: os.PathLike | str) -> str:
    """Of a whole file, read piece by piece."""
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while piece := stream.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _check_end(file: str, stream: IO[bytes]) -> None:
    """Check how long the directory is said to be, before zipfile reads all of it into memory."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - len(END64) - END.size - 16))
    tail = stream.read()
    signature, _, _, _, files, length, _, comment = END.unpack(tail[-END.size :])  # raises struct.error if too short
    if signature != b"PK\5\6" or comment or tail.startswith(END64):
        raise zipfile.BadZipFile("it does not end as a package does")
    if files > MAX_FILES or length > MAX_DIRECTORY:
        raise DataError(f"{file}: holds more than {MAX_FILES} files. Do not unpack it.")


def _read(file: str, stream: IO[bytes], archive: zipfile.ZipFile) -> Contents:
    infos = archive.infolist()
    bound = most_unpacked(os.fstat(stream.fileno()).st_size)
    if len(infos) > MAX_FILES or sum(info.file_size for info in infos) > bound:
        raise DataError(f"{file}: unpacks to more than {MAX_FILES} files or {bound} bytes. Do not unpack it.")
    for info in infos:
        _check_entry(file, info)
    names = [info.filename for info in infos]
    if len({name.lower() for name in names}) < len(names):  # some systems take a.txt and A.txt for one
        raise DataError(f"{file}: holds a name twice. Do not unpack it.")
    _check_every_byte(file, stream, archive)
    bundles = {PurePosixPath(name).parts[0] for name in names}
    bundle = bundles.pop() if len(bundles) == 1 else ""
    if f"{bundle}/{CHECKSUMS}" not in names:
        raise DataError(f"{file}: is not one folder with a {CHECKSUMS}: not made by python -m pipelines package.")
    data = _inflated(archive, f"{bundle}/{CHECKSUMS}")
    check_content(f"{file}: {CHECKSUMS}", CHECKSUMS, data)
    checksums = read_json(data)
    held = {name.partition("/")[2] for name in names} - {CHECKSUMS}
    if not isinstance(checksums, dict) or set(checksums) != held:
        first = sorted(set(checksums) ^ held)[0] if isinstance(checksums, dict) else CHECKSUMS
        raise DataError(f"{file}: {shown(first)} is only in the package, or only in its checksums. Fetch it again.")
    settings = {}
    for name in sorted(held):
        data = _inflated(archive, f"{bundle}/{name}")
        if hashlib.sha256(data).hexdigest() != checksums[name]:
            raise DataError(f"{file}: {name} is not as its checksum says. Fetch the package again.")
        check_content(f"{file}: {name}", name, data)
        if name.endswith((".json", ".conf")):
            settings[name] = data
    return Contents(bundle, checksums, settings)


def _inflated(archive: zipfile.ZipFile, name: str) -> bytes:
    """One file. Piece by piece: all at once, zipfile inflates what there is and cuts it to the declared size then."""

    def pieces() -> Iterator[bytes]:
        with archive.open(name) as packed:
            while piece := packed.read(CHUNK):
                yield piece

    return b"".join(pieces())


def _check_entry(file: str, info: zipfile.ZipInfo) -> None:
    where, kind = f"{file}: {shown(info.orig_filename)}", stat.S_IFMT(info.external_attr >> 16)
    check_name(where, info.orig_filename)
    limit = max_size(info.filename)
    if limit is not None and info.file_size > limit:
        raise DataError(f"{where}: unpacks to {info.file_size} bytes, and {limit} are allowed. Do not unpack it.")
    if len(PurePosixPath(info.filename).parts) < 2:
        raise DataError(f"{where}: lies in no folder. Do not unpack it.")
    if kind not in (0, stat.S_IFREG):
        raise DataError(f"{where}: is a link or another special file. Do not unpack it.")
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{where}: is encrypted, or packed in a way that is not used here. Do not unpack it.")


def _check_every_byte(file: str, stream: IO[bytes], archive: zipfile.ZipFile) -> None:
    """Check all bytes but the files' packed ones, which the checksums cover, against what they must be.

    Other programs may read a zip by its local headers, or take names from its extra fields: these must say the same.
    """
    end, directory, as_written = 0, b"", True
    for info in archive.infolist():
        header = info.FileHeader()
        stream.seek(end)
        as_written &= not info.extra and stream.read(len(header)) == header
        numbers = struct.pack("<3H2L", 0, 0, 0, PLAIN_FILE, end)  # no comment, first disk, no text flag, mode, place
        directory += b"PK\1\2" + bytes((ZIP_VERSION, UNIX)) + header[4:30] + numbers + header[30:]
        end += len(header) + info.compress_size
    files = len(archive.infolist())
    directory += END.pack(b"PK\5\6", 0, 0, files, files, len(directory), end, 0)
    stream.seek(end)
    if not as_written or stream.read() != directory:
        raise DataError(f"{file}: holds bytes that python -m pipelines package does not write. Do not unpack it.")
