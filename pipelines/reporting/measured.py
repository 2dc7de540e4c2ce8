"""What an evaluation left on disk, read again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from transforms import DataError

from ..evaluation.metric_table import OVERLAP, metrics_of
from ..evaluation.pixels import Pixels

TABLES = ("images.csv", "cases.csv")  # of bundles of one class, and of several


@dataclass(frozen=True)
class Measured:
    """An evaluation of one split.

    Attributes:
        folder: that it is in.
        cases: a row each, by their number.
        metrics: of all of them.
        pixels: of bundles of one class, or None.
        boxes: ``found`` and ``truth`` of each case, where the truth is boxes.
    """

    folder: Path
    cases: pd.DataFrame
    metrics: dict[str, float | None]
    pixels: Pixels | None
    boxes: dict[str, list] | None

    @classmethod
    def read(cls, folder: Path) -> Measured:
        """Read an evaluation.

        Args:
            folder: of one split.

        Raises:
            DataError: if the folder holds none, or one of an earlier version, which did not keep whose the cases are.
        """
        tables = [folder / name for name in TABLES if (folder / name).is_file()]
        if not tables or not (folder / "metrics.json").is_file():
            raise DataError(f"{folder}: holds no evaluation of a split. Run: python -m pipelines evaluate")
        cases = pd.read_csv(tables[0], index_col="case")
        if "patient" not in cases:
            raise DataError(f"{tables[0]}: has no column patient: an earlier version wrote it. Evaluate again.")
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        pixels, boxes = folder / "pixels.npz", folder / "boxes.json"
        return cls(
            folder,
            cases,
            metrics,
            Pixels.load(pixels) if pixels.is_file() else None,
            json.loads(boxes.read_text(encoding="utf-8")) if boxes.is_file() else None,
        )

    @property
    def key(self) -> str:
        """The column that cases are ranked by."""
        return "dice" if "dice" in self.cases else "dice_mean_of_organs"

    @property
    def by_case(self) -> list[str]:
        """The columns that are metrics of a case, the key first, in the order of the table."""
        return sorted(metrics_of(self.cases), key=lambda name: name != self.key)

    @property
    def marked(self) -> pd.Series | None:
        """Pixels that the truth marks, by case; None for bundles of several classes."""
        return self.cases["tp"] + self.cases["fn"] if "tp" in self.cases else None

    @cached_property
    def values(self) -> pd.DataFrame:
        """The metrics by case; those of overlap only of cases that the truth marks, as reports take them."""
        table = self.cases[self.by_case].copy()
        if self.marked is not None:
            table.loc[self.marked == 0, list(OVERLAP)] = float("nan")
        return table
