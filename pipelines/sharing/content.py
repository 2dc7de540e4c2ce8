"""What a packaged bundle may hold: which names, and what a file must be to bear its name."""

from __future__ import annotations

import io
import json
import pickletools
import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from transforms import DataError

CHECKSUMS = "checksums.json"
PACKAGES = ("networks", "pipelines", "transforms")  # where Python may lie: elsewhere it could take a library's place
SOURCES = Path(__file__).resolve().parents[2]  # the packages lie here, in the clone and where they are installed
KINDS = {".json", ".conf", ".md", ".txt", ".csv", ".png", ".jpg", ".py", ".pt"}  # and LICENSE, without a suffix
PICTURES = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff"}  # how each begins
MAX_TEXT, MAX_JSON = 4 * 1024**2, 1024**2  # bytes: JSON takes up to a hundred times its size in memory
MAX_TENSORS = 50_000  # in a file of weights
MAX_DEPTH = 32  # of objects and lists in JSON
PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")  # of a path: no spaces, colons, backslashes, nor a dot in front
ZIP = b"PK\3\4"  # how torch's own files begin; it reads what begins otherwise as a bare pickle
# What a state dict is made of. torch allows more, some of which takes all memory, as bytearray(10**12).
GLOBALS = re.compile(r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)|torch [A-Za-z0-9]+Storage")


def shown(text: str) -> str:
    """Without characters that change what a terminal shows."""
    return "".join(c if c.isascii() and c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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


def max_size(name: str) -> int | None:
    """How many bytes a file may have, by its name; None where only the package as a whole has a limit."""
    suffix = PurePosixPath(name).suffix
    return None if suffix in (*PICTURES, ".pt") else MAX_JSON if suffix == ".json" else MAX_TEXT


def check_content(where: str, name: str, data: bytes) -> None:
    """Check that a file is what its name says: weights a state dict that loads safely, a text a text.

    Raises:
        DataError: that begins with ``where``.
    """
    suffix, limit = PurePosixPath(name).suffix, max_size(name)
    if limit is not None and len(data) > limit:
        raise DataError(f"{where}: has {len(data)} bytes, and {limit} are allowed. Leave it out or shorten it.")
    if suffix == ".pt":
        _check_weights(where, data)
    elif suffix in PICTURES:
        if not data.startswith(PICTURES[suffix]):
            raise DataError(f"{where}: is no picture of its kind. Leave it out.")
    else:
        try:
            if "\0" in data.decode():
                raise ValueError("it holds the character 0")
            if suffix == ".json":
                read_json(data)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: is not the text that its name says ({shown(str(error))}). Fix it.") from error
        if suffix == ".py" and PurePosixPath(name).parts[0] not in PACKAGES:
            raise DataError(f"{where}: is Python outside {', '.join(PACKAGES)}. Leave it out.")


def read_json(data: bytes) -> Any:
    """Read JSON in which each key of an object stands once.

    Raises:
        ValueError: if it is none, says a key twice, or goes deeper than ``MAX_DEPTH``.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):  # a reader sees the first, a program takes the last
            keys = [key for key, _ in pairs]
            raise ValueError(f"it has the key {next(key for key in keys if keys.count(key) > 1)!r} twice")
        return found

    value = json.loads(data, object_pairs_hook=once)
    level, depth = [value], 0
    while outer := [found for found in level if isinstance(found, (dict, list))]:
        if (depth := depth + 1) > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH}")
        level = [inner for found in outer for inner in (found.values() if isinstance(found, dict) else found)]
    return value


def _check_weights(where: str, data: bytes) -> None:
    try:
        if not data.startswith(ZIP):
            raise ValueError("it is no zip file")
        if data.count(b"PK\1\2") > MAX_TENSORS:  # before zipfile makes an object of each
            raise ValueError("it has too many parts")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
                raise ValueError("it is compressed")  # torch never does; a small file could fill the memory
            if sum(info.file_size for info in infos) > len(data) or len({info.filename for info in infos}) < len(infos):
                raise ValueError("its parts overlap")  # likewise
            for info in infos:
                if info.filename.endswith(".pkl"):
                    _check_pickle(archive.read(info))
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load fails in pickle, zipfile or its own ways
        reason = shown(str(error).strip().partition("\n")[0])
        raise DataError(
            f"{where}: is no state dict that can be loaded without running code ({reason}). Save it with "
            "torch.save(network.state_dict(), FILE)."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise DataError(f"{where}: holds more than tensors. Save it with torch.save(network.state_dict(), FILE).")


def _check_pickle(data: bytes) -> None:
    """Raises ValueError if a pickle names more than a state dict needs. Runs nothing of it."""
    for operation, argument, _ in pickletools.genops(data):
        named = operation.name in ("GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4")
        if named and not (operation.name == "GLOBAL" and GLOBALS.fullmatch(str(argument))):
            raise ValueError(f"its pickle names {argument or operation.name}")
