"""Hides the names of images, which may be those of patients, from all that a prediction writes and says.

The images are read by way of links with other names, so that nothing that handles them can tell what it does not know.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

from transforms import DataError
from transforms.files.atomic import atomic_write
from transforms.files.names import image_suffix

from .records import RECORDS

DIGITS = 16  # of a name: among a million images, the chance that two have one is 1 in 37 million


class HashedNames:
    """A tree of links to images, each named by a keyed hash (HMAC-SHA256, RFC 2104) of its path and of its folder's.

    With the key, which is random, the names of one output folder stay the same from run to run; without it, nobody can
    find a name by trying. Both are in ``mapping`` alone, a file beside the output folder that only its owner can read;
    the links are there only while they are used.

    Args:
        dataset_dir: the images.
        output_dir: where outputs go.

    Attributes:
        tree: the folder of the links, to be used as ``dataset_dir``.
        mapping: ``{"key": ..., "names": {hashed path: path below dataset_dir}}``, of folders and files, in JSON.
    """

    def __init__(self, dataset_dir: os.PathLike | str, output_dir: os.PathLike | str):
        self.source, self.output = (Path(os.path.abspath(path)) for path in (dataset_dir, output_dir))
        self.tree = self.output.with_name(f"{self.output.name}.names")
        self.mapping = self.output.with_name(f"{self.output.name}.names.json")

    def __enter__(self) -> HashedNames:
        """Make the links.

        Raises:
            DataError: if the images are missing, the output folder holds outputs by their own names, the mapping is
                damaged, or there can be no links.
        """
        if not self.source.is_dir():
            raise DataError(f"{self.source}: no such folder. Give the folder of the images with --input.")
        known = self._read_mapping()
        key = bytes.fromhex(known["key"]) if known else secrets.token_bytes(32)
        names = known["names"] if known else {}
        self._remove_links()
        try:
            self.tree.mkdir(parents=True, mode=0o700)
            for folder, folders, files in os.walk(self.source):
                folders[:] = [name for name in folders if Path(folder, name) not in (self.output, self.tree)]
                hashed = self._hash(key, Path(folder))
                files = [name for name in files if not name.startswith(".") and Path(folder, name) != self.mapping]
                if files:
                    (self.tree / hashed).mkdir()
                    names[hashed] = os.path.relpath(folder, self.source)
                for name in files:
                    path, suffix = Path(folder, name), image_suffix(name)
                    link = f"{hashed}/{self._hash(key, path)}{suffix}"
                    (self.tree / link).symlink_to(path)
                    names[link] = os.path.relpath(path, self.source)
            with atomic_write(self.mapping, private=True) as file:
                json.dump({"key": key.hex(), "names": names}, file, indent=2)
        except OSError as error:
            self._remove_links()
            raise DataError(
                f"{self.tree}: names cannot be hidden, since links cannot be made there ({error.strerror}). Give "
                "another --output."
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove_links()

    def _remove_links(self) -> None:
        """A killed run's too."""
        shutil.rmtree(self.tree, ignore_errors=True)

    def _hash(self, key: bytes, path: Path) -> str:
        relative = os.fsencode(os.path.relpath(path, self.source))
        return hmac.new(key, relative, hashlib.sha256).hexdigest()[:DIGITS]

    def _read_mapping(self) -> dict[str, Any] | None:
        if not self.mapping.exists():
            if (self.output / RECORDS).exists():
                raise DataError(f"{self.output}: holds outputs by the images' own names. Give another --output.")
            return None
        try:
            known = json.loads(self.mapping.read_text(encoding="utf-8"))
            bytes.fromhex(known["key"]), known["names"].items()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{self.mapping}: is no mapping of names. Restore it, or remove it and give another --output."
            ) from error
        return known
