"""Whether a packaged bundle is safe to unpack, and what of it is code, found without running or unpacking anything."""

from __future__ import annotations

import configparser
import hashlib
import io
import json
import logging
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import torch

from transforms import DataError

logger = logging.getLogger(__name__)

CHECKSUMS = "checksums.json"
PACKAGES = ("networks", "pipelines", "transforms")  # where Python may lie: elsewhere it could take a library's place
SOURCES = Path(__file__).resolve().parents[2]  # the packages lie here, in the clone and where they are installed
KINDS = {".json", ".conf", ".md", ".txt", ".csv", ".png", ".jpg", ".py", ".pt"}  # and LICENSE, without a suffix
PICTURES = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff"}  # how each begins
MAX_FILES, MAX_BYTES = 1000, 2 * 1024**3  # unpacked
PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")  # of a path: no spaces, colons, backslashes, nor a dot in front
UNIX, ZIP_VERSION, PLAIN_FILE = 3, 20, 0o100644 << 16  # the maker's system, the version of zip, each file's mode
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError, RecursionError)


@dataclass
class Contents:
    """What a package holds."""

    bundle: str  # the folder that unpacking makes
    checksums: dict[str, str]  # SHA-256 of each file, by its path in that folder
    code: list[tuple[str, str, str]]  # file, key, and the text that loading or running the bundle may execute


def verify(file: os.PathLike | str) -> Contents:
    """Check a package as :func:`read_package` does; list in the log what of its configuration is code, and its Python.

    The checksums lie in the package: they show damage, and not who made it. For that, compare the SHA-256 of the whole
    file, which is logged first, with what its maker says.
    """
    contents = read_package(file)
    logger.info("%s: SHA-256 %s", file, hashlib.sha256(Path(file).read_bytes()).hexdigest())
    previous = None
    for name, key, text in contents.code:
        if name != previous:
            logger.info("%s", previous := name)
        logger.info("  %s: %s", _shown(key), _shown(text))
    python = [name for name in contents.checksums if name.endswith(".py")]
    other = [name for name in python if contents.checksums[name] != _checksum_here(name)]
    logger.info("Python: %d files, %d of them not as in this project", len(python), len(other))
    for name in other:
        logger.info("  %s", name)
    logger.info("%s: %d files, all as their checksums say; nothing was run", file, len(contents.checksums))
    return contents


def read_package(file: os.PathLike | str) -> Contents:
    """Read a package and check all of it.

    Raises:
        DataError: if it is no zip file or a damaged one; holds a path that leaves its folder, a link, a name twice, a
            file that its checksums do not have or have otherwise, or bytes that belong to no file; is too large; or
            if a file is not what its name says, see :func:`check_content`.
    """
    try:
        if os.path.getsize(file) > MAX_BYTES:
            raise DataError(f"{file}: is larger than {MAX_BYTES} bytes. Do not unpack it.")
        with open(file, "rb") as stream, zipfile.ZipFile(stream) as archive:
            return _read(str(file), stream, archive)
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read ({error.strerror or error}). Give the file of a packaged bundle."
        ) from error
    except DAMAGE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file}: is no zip file, or a damaged one ({_shown(str(error))}). Fetch it again.") from error


def _read(file: str, stream: IO[bytes], archive: zipfile.ZipFile) -> Contents:
    infos = archive.infolist()
    if len(infos) > MAX_FILES or sum(info.file_size for info in infos) > MAX_BYTES:
        raise DataError(f"{file}: unpacks to more than {MAX_FILES} files or {MAX_BYTES} bytes. Do not unpack it.")
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
    data = archive.read(f"{bundle}/{CHECKSUMS}")
    check_content(f"{file}: {CHECKSUMS}", CHECKSUMS, data)
    checksums = json.loads(data)
    held = {name.partition("/")[2] for name in names} - {CHECKSUMS}
    if not isinstance(checksums, dict) or set(checksums) != held:
        first = sorted(set(checksums) ^ held)[0] if isinstance(checksums, dict) else CHECKSUMS
        raise DataError(f"{file}: {_shown(first)} is only in the package, or only in its checksums. Fetch it again.")
    code = []
    for name in sorted(held):
        data = archive.read(f"{bundle}/{name}")  # never more than the size that it declares
        if hashlib.sha256(data).hexdigest() != checksums[name]:
            raise DataError(f"{file}: {name} is not as its checksum says. Fetch the package again.")
        check_content(f"{file}: {name}", name, data)
        code += [(name, key, text) for key, text in _code(name, data)]
    return Contents(bundle, checksums, code)


def _check_entry(file: str, info: zipfile.ZipInfo) -> None:
    where, kind = f"{file}: {_shown(info.orig_filename)}", stat.S_IFMT(info.external_attr >> 16)
    check_name(where, info.orig_filename)
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
    directory += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, files, files, len(directory), end, 0)
    stream.seek(end)
    if not as_written or stream.read() != directory:
        raise DataError(f"{file}: holds bytes that python -m pipelines package does not write. Do not unpack it.")


def check_name(where: str, name: str) -> None:
    """Check that a path stays in its folder on every system, and that the file is of a kind that a bundle holds.

    Raises:
        DataError: that begins with ``where``.
    """
    path = PurePosixPath(name)
    if name.startswith("/") or ".." in re.split(r"[/\\]", name) or re.match("[A-Za-z]:", name):
        raise DataError(f"{where}: is a path that leaves the bundle's folder. Do not unpack it.")
    if not all(PART.fullmatch(part) for part in name.split("/")):
        raise DataError(f"{where}: has another name than of letters, digits, '.', '_' and '-'. Rename it.")
    if path.suffix not in KINDS and path.name != "LICENSE":
        raise DataError(
            f"{where}: is of no kind that a packaged bundle may hold ({' '.join(sorted(KINDS))}). Pickles and "
            "compiled files, for example, can run code: leave it out."
        )


def check_content(where: str, name: str, data: bytes) -> None:
    """Check that a file is what its name says: weights a state dict that loads safely, a text a text.

    Raises:
        DataError: that begins with ``where``.
    """
    suffix = PurePosixPath(name).suffix
    if suffix == ".pt":
        _check_weights(where, data)
    elif suffix in PICTURES:
        if not data.startswith(PICTURES[suffix]):
            raise DataError(f"{where}: is no picture of its kind. Leave it out.")
    else:
        try:
            text = data.decode()
            if "\0" in text:
                raise ValueError("it holds the character 0")
            if suffix == ".json":
                json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{where}: is not the text that its name says ({_shown(str(error))}). Correct it."
            ) from error
        if suffix == ".py" and PurePosixPath(name).parts[0] not in PACKAGES:
            raise DataError(f"{where}: is Python outside {', '.join(PACKAGES)}. Leave it out.")


def _check_weights(where: str, data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise ValueError("it is compressed")  # torch never does; a small file could fill the memory
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load fails in pickle, zipfile or its own ways
        reason = _shown(str(error).strip().partition("\n")[0])
        raise DataError(
            f"{where}: is no state dict that can be loaded without running code ({reason}). Save it with "
            "torch.save(network.state_dict(), FILE)."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise DataError(f"{where}: holds more than tensors. Save it with torch.save(network.state_dict(), FILE).")


def _code(name: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Key and text of everything in a configuration that is executed, or names what is executed."""
    suffix = PurePosixPath(name).suffix
    if suffix == ".json":
        yield from _code_in_json(json.loads(data), "")
    elif suffix == ".conf":  # logging.config evaluates these
        parser = configparser.ConfigParser()
        try:
            parser.read_string(data.decode())
            for section in parser.sections():
                for key in ("class", "args", "kwargs"):
                    if parser.has_option(section, key):
                        yield f"{section}#{key}", parser.get(section, key)
        except configparser.Error as error:
            raise DataError(f"{name}: is no logging configuration ({_shown(str(error))}). Correct it.") from error


def _code_in_json(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """``_target_``, ``$`` expressions, and ``%`` references, which may take code from another file."""
    if isinstance(value, (dict, list)):
        for part, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _code_in_json(inner, f"{key}#{part}" if key else str(part))
    elif isinstance(value, str) and (value.startswith(("$", "%")) or key.rpartition("#")[2] == "_target_"):
        yield key, value


def _checksum_here(name: str) -> str | None:
    path = SOURCES / name
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _shown(text: str) -> str:
    """Without characters that change what a terminal shows."""
    return "".join(c if c.isascii() and c.isprintable() else c.encode("unicode_escape").decode() for c in text)
