"""Who the cases are: what the manifest and the DICOM headers say, in groups that figures are given for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from pydicom.errors import InvalidDicomError

from transforms import DataError
from transforms.files.dicom import open_dicom

from .intervals import Interval, mean_interval

AGES = (0, 18, 40, 65, 200)
AGE_BANDS = ("under 18", "18 to 39", "40 to 64", "65 and over")
TAGS = {"sex": "PatientSex", "view": "ViewPosition", "age": "PatientAge", "maker": "Manufacturer"}
UNKNOWN = "not known"
SIZES = ("smallest third", "middle third", "largest third")

Group: TypeAlias = tuple[str, str, Interval]  # what patients are grouped by, its value, and the mean of these


def describe(entries: Sequence[Mapping[str, Any]], root: Path) -> pd.DataFrame:
    """What is known of the cases, a row each, a column for what any of them says.

    Args:
        entries: of a manifest's split.
        root: what their paths are relative to.

    Returns:
        ``class`` of the manifest; ``sex``, ``view``, ``age`` (in bands) and ``maker`` of the headers of DICOM files.
        Not a number where it is not known.
    """
    rows = [{"class": entry.get("class"), **_header(root, entry["image"])} for entry in entries]
    table = pd.DataFrame(rows, columns=["class", *TAGS])
    return table.dropna(axis=1, how="all")


def _header(root: Path, image: str | list[str]) -> dict[str, str | None]:
    path = root / (image if isinstance(image, str) else image[0])
    if path.is_dir():
        path = min(path.iterdir(), default=path)
    try:
        found = open_dicom(path, inflate=False, stop_before_pixels=True, specific_tags=list(TAGS.values()))
    except (DataError, InvalidDicomError, OSError):  # a picture, or read and refused elsewhere
        return {}
    values = {name: str(found.get(tag) or "").strip() or None for name, tag in TAGS.items()}
    return values | {"age": age_band(values["age"])}


def age_band(age: str | None) -> str | None:
    """The band of an age as DICOM writes it, such as ``045Y`` or ``006M`` (PS3.5 6.2, AS).

    Up to three digits without a unit, as some files have them against the standard, are years.
    """
    found = re.fullmatch(r"(\d{1,3})([DWMY]?)", age or "")
    if found is None:
        return None
    years = int(found[1]) / {"D": 365, "W": 52, "M": 12, "Y": 1, "": 1}[found[2]]
    return AGE_BANDS[int(np.digitize(years, AGES[1:-1]))] if years < AGES[-1] else None


def sizes(truth: pd.Series) -> pd.Series:
    """Of the pixels that the truth marks: which third of the cases that have any."""
    some = truth[truth > 0]
    if some.nunique() < len(SIZES):
        return pd.Series(np.nan, index=truth.index, dtype=object)
    return pd.qcut(some.rank(method="first"), len(SIZES), labels=SIZES).astype(object).reindex(truth.index)


def by_group(values: pd.Series, patients: pd.Series, groups: pd.DataFrame) -> list[Group]:
    """The mean of each group, by column and value, in the order of the values; last of those of whom it is not known.

    Args:
        values: one a case; not a number where it has none.
        patients: of each case.
        groups: of :func:`describe`, of the same cases.
    """
    found = []
    for name in groups:
        of = group_of(groups[name])
        order = [value for value in (*AGE_BANDS, *SIZES) if (of == value).any()]
        order += [*sorted(set(of) - {*order, UNKNOWN}), UNKNOWN]
        for value in order:
            inside = (of == value).to_numpy() & values.notna().to_numpy()
            if inside.any():
                found.append((str(name), value, mean_interval(values[inside], patients[inside])))
    return found


def group_of(column: pd.Series) -> pd.Series:
    """The value of each case as text, UNKNOWN where there is none."""
    return column.astype(object).where(column.notna(), UNKNOWN).astype(str)
