"""What an evaluation left on disk, read again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from transforms import DataError

from ..evaluation.binary_metrics import AUC
from ..evaluation.binary_report import BOTTOM
from ..evaluation.metric_table import OVERLAP, metrics_of
from ..evaluation.pixels import Pixels
from ..evaluation.rsna_score import CHALLENGE, average_precisions
from .intervals import Interval, Statistic, area_under_roc, figure_interval, mean_of

TABLES = ("images.csv", "cases.csv")  # of bundles of one class, and of several


def read_cases(path: Path) -> pd.DataFrame:
    """The table of an evaluation or of a cross-validation, a row a case that counts; patients are text.

    Args:
        path: of ``images.csv`` or ``cases.csv``.

    Raises:
        DataError: if it is of an earlier version, which did not keep whose the cases are.
    """
    table = pd.read_csv(path, dtype={"patient": str})
    if "patient" not in table:
        raise DataError(f"{path}: has no column patient: an earlier version wrote it. Evaluate again.")
    return table[~table["behind_heart"]].drop(columns="behind_heart") if "behind_heart" in table else table


@dataclass(frozen=True)
class Measured:
    """An evaluation of one split, or of the folds of a cross-validation.

    Attributes:
        folder: that it is in.
        cases: that count, a row each, by their number; of a cross-validation by their row, since each fold counts anew.
        metrics: of all of them.
        pixels: of bundles of one class, or None.
        boxes: ``found`` and ``truth`` of each case, where the truth is boxes.
        evaluated: what they were made with, see :func:`pipelines.provenance.evaluated`; empty of an earlier version.
    """

    folder: Path
    cases: pd.DataFrame
    metrics: dict[str, float | None]
    pixels: Pixels | None
    boxes: dict[str, list] | None
    evaluated: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Measured:
        """Read an evaluation.

        Args:
            folder: of one split, or of a cross-validation.

        Raises:
            DataError: if the folder holds none, or one of an earlier version, which did not keep whose the cases are.
        """
        tables = [folder / name for name in TABLES if (folder / name).is_file()]
        if not tables or not (folder / "metrics.json").is_file():
            raise DataError(f"{folder}: holds no evaluation of a split. Run: python -m pipelines evaluate")
        cases = read_cases(tables[0])
        cases = cases.rename_axis("case") if "fold" in cases else cases.set_index("case")
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        evaluated = metrics.pop("evaluated", {})
        metrics.pop("$schema", None)
        pixels, boxes = folder / "pixels.npz", folder / "boxes.json"
        return cls(
            folder,
            cases,
            metrics,
            Pixels.load(pixels) if pixels.is_file() else None,
            json.loads(boxes.read_text(encoding="utf-8")) if boxes.is_file() else None,
            evaluated,
        )

    @property
    def left_out(self) -> int:
        """Cases that were measured and count in nothing."""
        return self.evaluated.get("left_out", 0)

    @property
    def is_pooled(self) -> bool:
        """Whether the cases are those of the folds of a cross-validation."""
        return "fold" in self.cases

    @property
    def key(self) -> str:
        """The column that cases are ranked by."""
        return "dice" if "dice" in self.cases else "dice_mean_of_organs"

    @property
    def by_case(self) -> list[str]:
        """The columns that are metrics of a case, the key first, in the order of the table."""
        return sorted(metrics_of(self.cases), key=lambda name: name != self.key)

    @cached_property
    def bottom(self) -> npt.NDArray | None:
        """What the network made of each case's image at its bottom, of shape (cases, features); None if it is not kept.

        It is kept of MONAI's U-Nets, by evaluations of bundles of one class; but not of a cross-validation, whose
        networks are several.
        """
        path = self.folder / BOTTOM
        return np.load(path)[self.cases.index] if path.is_file() and not self.is_pooled else None

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

    @cached_property
    def _challenge(self) -> pd.Series | None:
        """The challenge's score of each case, where its boxes and the confidence that one must have are known."""
        if self.boxes is None or "box_confidence" not in self.evaluated:
            return None
        kept = {name: [boxes[case] for case in self.cases.index] for name, boxes in self.boxes.items()}
        scores = average_precisions(**kept, confidence=self.evaluated["box_confidence"])
        return scores.set_axis(self.cases.index)

    def image_figures(self, inside: pd.Series | None = None) -> dict[str, tuple[Statistic, pd.Series]]:
        """What tells of whole images and not of pixels, as far as it is defined.

        Args:
            inside: which cases; None: all.

        Returns:
            the area under the ROC curve and the challenge's score, by the names that metrics have: each with the cases
            that its interval hangs on, see :func:`~pipelines.reporting.intervals.figure_interval`.
        """
        if self.marked is None:
            return {}
        inside = pd.Series(True, index=self.cases.index) if inside is None else inside
        positive, found = self.marked[inside] > 0, dict[str, tuple[Statistic, pd.Series]]()
        if 0 < positive.sum() < len(positive):
            fewer = positive if positive.mean() <= 0.5 else ~positive
            found[AUC] = area_under_roc(self.cases["score"][inside], positive), fewer
        if self._challenge is not None and (scores := self._challenge[inside]).notna().any():
            found[CHALLENGE] = mean_of(scores), scores.notna()
        return found

    def image_intervals(self, inside: pd.Series | None = None) -> dict[str, Interval]:
        """The same with their intervals."""
        patients = self.cases["patient"] if inside is None else self.cases["patient"][inside]
        return {
            name: figure_interval(figure, patients, counted)
            for name, (figure, counted) in self.image_figures(inside).items()
        }
