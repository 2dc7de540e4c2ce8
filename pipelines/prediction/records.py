"""What has been predicted: a line of JSON as a case starts, and one as it ends.

A kill loses one case at most, and the case in which the whole process ended is known afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from transforms.files.atomic import writing

RECORDS = "predictions.jsonl"
STARTED = "started"  # the status of a case that has not ended


class Records:
    """The cases of a folder of outputs. A case's last record counts.

    Args:
        folder: where the outputs are; the records are in its ``predictions.jsonl``.
        settings: a hash of all that the outputs depend on beside the image.
    """

    def __init__(self, folder: Path, settings: str):
        self.folder = folder
        self.settings = settings
        self.path = folder / RECORDS

    @cached_property
    def last(self) -> dict[str, dict[str, Any]]:
        """The last record of each case, read when it is first asked for: who only describes outputs needs none."""
        last: dict[str, dict[str, Any]] = {}
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines() if self.path.is_file() else ():
            try:
                record = json.loads(line)
                last[record["case"]] = record
            except (ValueError, KeyError, TypeError):  # a kill cut the line short
                continue
        return last

    def done(self, case: str, identity: str) -> dict[str, Any] | None:
        """The record of a case that was done from the same files with the same settings, its outputs as they were."""
        record = self.last.get(case)
        if record is None or record.get("status") != "done":
            return None
        same = record.get("identity") == identity and record.get("settings") == self.settings
        return record if same and not self.lost(record) else None

    def describe(self, outputs: Iterable[Path]) -> dict[str, dict[str, int | str]]:
        """What the record of a case that is done holds as ``outputs``: path in the folder, size in bytes, SHA-256.

        Raises:
            OSError: if one is not there.
        """
        return {path.relative_to(self.folder).as_posix(): _content(path) for path in outputs}

    def lost(self, record: dict[str, Any]) -> list[str]:
        """Which outputs of a case that was done are not there any more, or not as they were written."""
        outputs = record["outputs"]
        if not isinstance(outputs, dict):  # of a version that kept their names alone
            return list(outputs)
        return [name for name, content in outputs.items() if not _is_there(self.folder / name, content)]

    @contextmanager
    def alone(self, case: str, identity: str) -> Iterator[None]:
        """While a case is done, and no other, the records say so: what ends the whole process is known by it.

        What only stops the run, such as a signal or a full disk, takes this back, which needs no room on the disk.
        """
        before = self.path.stat().st_size if self.path.is_file() else 0
        last = self.last.get(case)
        self.append(case, identity, {"status": STARTED, "alone": True})
        try:
            yield
        except BaseException:
            with suppress(FileNotFoundError):  # someone has removed it
                os.truncate(self.path, before)
            self.last[case] = last or {}
            raise

    def start(self, case: str, identity: str) -> None:
        """Note that a case is begun, beside others."""
        self.append(case, identity, {"status": STARTED})

    def never_ended(self, case: str, identity: str) -> bool:
        """Whether a run ended while this case was done, and no other, from the same files with the same settings."""
        return self.is_started(case, identity) and "alone" in self.last[case]

    def is_started(self, case: str, identity: str) -> bool:
        """Whether a run ended while this case, maybe beside others, was done, from the same files and settings."""
        noted = {"case": case, "identity": identity, "settings": self.settings, "status": STARTED}
        return {name: value for name, value in self.last.get(case, {}).items() if name != "alone"} == noted

    def append(self, case: str, identity: str, record: dict[str, Any]) -> None:
        """Add how a case ended: ``status`` and what else is worth keeping."""
        record = {"case": case, "identity": identity, "settings": self.settings, **record}
        self.folder.mkdir(parents=True, exist_ok=True)  # someone may remove it meanwhile
        with writing(self.path), open(self.path, "a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(record).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.last[case] = record


def _content(path: Path) -> dict[str, int | str]:
    data = path.read_bytes()
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _is_there(path: Path, content: dict[str, int | str]) -> bool:
    try:
        return path.stat().st_size == content["size"] and _content(path) == content
    except OSError:
        return False
