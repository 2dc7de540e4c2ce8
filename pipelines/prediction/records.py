"""What has been predicted: a line of JSON a case, appended as it ends, so that a kill loses one case at most."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

RECORDS = "predictions.jsonl"


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
        self.last: dict[str, dict[str, Any]] = {}
        for line in self.path.read_text().splitlines() if self.path.is_file() else ():
            try:
                record = json.loads(line)
                self.last[record["case"]] = record
            except (ValueError, KeyError, TypeError):  # a kill cut the line short
                continue

    def done(self, case: str, identity: str) -> dict[str, Any] | None:
        """The record of a case that was done from the same files with the same settings, its outputs still there."""
        record = self.last.get(case)
        if record is None or record["status"] != "done":
            return None
        same = record["identity"] == identity and record["settings"] == self.settings
        return record if same and all((self.folder / path).is_file() for path in record["outputs"]) else None

    def append(self, case: str, identity: str, record: dict[str, Any]) -> None:
        """Add how a case ended: ``status`` and what else is worth keeping."""
        record = {"case": case, "identity": identity, "settings": self.settings, **record}
        with open(self.path, "a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(record).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.last[case] = record
