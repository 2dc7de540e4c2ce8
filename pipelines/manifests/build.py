"""What all builders of manifests share: reading in parallel, the split, the writing, and the table at the end.

A builder finds files and pairs them with their truth; the rest is here. Knows no data set by name.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import re
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from nibabel import Nifti1Image
from PIL import ExifTags
from PIL.Image import Image
from pydicom.dataset import Dataset

from transforms import DataError, check_writable, progress

from ..arguments import fraction, seed
from .manifest import SCHEMA, write_manifest
from .splits import SPLITS, check_fractions, split_patients

logger = logging.getLogger(__name__)

EMPTY = "empty"  # the note of images among masks in which nothing is to be marked
NAMES_SHOWN, REASONS_SHOWN = 3, 20  # of what was left out, in the table at the end


def add_shared_arguments(parser: argparse.ArgumentParser, build: Callable[..., dict[str, Any]], holds: str) -> None:
    """Add what every builder takes on the command line. An option that is not given keeps the builder's default.

    Args:
        parser: of one kind of manifest.
        build: the builder, which becomes the parser's ``command``.
        holds: as of :class:`ManifestBuild`.
    """
    parser.add_argument("folder", metavar="DIR", help=f"holds {holds}")
    parser.add_argument("--out", required=True, metavar="FILE", help="the manifest to write")
    parser.add_argument("--seed", type=seed, help="of the split")
    parser.add_argument(
        "--fractions", type=fraction, nargs=3, metavar=("TRAINING", "VALIDATION", "TEST"), help="of the patients"
    )
    parser.set_defaults(command=build)


@dataclass(frozen=True)
class Used:
    """An image that can be used.

    Args:
        entry: as the manifest's schema defines it, without ``patient_id``; its files are whole paths.
        patient: whose it is; the manifest gets a hash.
        notes: what else the table at the end says by split: numbers are added up, words are counted one by one.
    """

    entry: dict[str, Any]
    patient: str
    notes: dict[str, int | str] = field(default_factory=dict)


@dataclass(kw_only=True)
class ManifestBuild:
    """A manifest that is being made: what is used of a folder, and what is left out and why.

    Args:
        folder: the data set's; the manifest's paths are relative to it.
        out: the manifest to write.
        holds: what the folder must hold, in words.
        name, task, source, licence, seed: of the manifest.
        fractions: of the patients for training, validation and test.
        by: what is kept in one split: the patient, or what stands for it.

    Raises:
        DataError: before any file is read, if there is no such folder, the manifest cannot be written, the task is not
            a word, or the fractions are not three that add up to 1.
    """

    folder: Path
    out: Path
    holds: str
    name: str
    task: str
    source: str
    licence: str
    seed: int
    fractions: Sequence[float]
    by: str = "patient"
    used: list[Used] = field(default_factory=list, init=False)
    left_out: dict[str, list[str]] = field(default_factory=dict, init=False)  # names by the reason

    def __post_init__(self) -> None:
        self.folder, self.out = Path(self.folder), Path(self.out)
        if not self.folder.is_dir():
            raise DataError(f"{self.folder}: no such folder. Give one that holds {self.holds}.")
        check_writable([self.out.absolute().parent])
        check_fractions(self.fractions)
        allowed = json.loads(SCHEMA.read_text(encoding="utf-8"))["properties"]["task"]["pattern"]
        if not re.fullmatch(allowed, self.task):
            raise DataError(
                f"the task {self.task!r} must be the one that the bundle names: letters, digits, '_' and '-' only."
            )

    def leave_out(self, image: Path | str, reason: str) -> None:
        """Note why an image, or what belongs to one, is not used."""
        name = image.relative_to(self.folder).as_posix() if isinstance(image, Path) else image
        reason = reason.replace(f"{self.folder}{os.sep}", "").removeprefix(f"{name}: ")
        self.left_out.setdefault(reason, []).append(name)

    def read(self, read: Callable[..., Used], images: Mapping[Path, tuple[Any, ...]]) -> None:
        """Read images in parallel. One that raises a :class:`transforms.DataError` is left out for that reason.

        Args:
            read: called with an image's path and what is known of it; must be importable, as other processes run it.
            images: of each image what is known.
        """
        chunk = max(1, min(64, len(images) // (8 * (os.cpu_count() or 1))))
        with ProcessPoolExecutor() as pool:
            results = pool.map(partial(_read, read), images.items(), chunksize=chunk)
            for image, result in zip(images, progress(results, len(images), "reading images", "image"), strict=True):
                if isinstance(result, Used):
                    self.used.append(result)
                else:
                    self.leave_out(image, result)

    def write(self) -> dict[str, Any]:
        """Split what is used by patient, each class alike, write the manifest and log the table.

        Returns:
            the manifest.

        Raises:
            DataError: if nothing can be used.
        """
        if not self.used:
            reasons = [f"{names[0]}: {reason}".rstrip(".") for reason, names in self.left_out.items()]
            first = f" ({sum(map(len, self.left_out.values()))} left out, the first: {reasons[0]})" if reasons else ""
            raise DataError(f"{self.folder}: no image can be used{first}. The folder must hold {self.holds}.")
        strata = [f"{used.entry.get('class')}, {_marked(used.entry)}" for used in self.used]
        split_of = split_patients([used.patient for used in self.used], strata, self.fractions, self.seed)
        kind = "masks" if any("label" in used.entry for used in self.used) else "class and boxes"
        stratified = f", stratified by {kind}" if len(set(strata)) > 1 else ""
        manifest: dict[str, Any] = {
            "manifest_version": 1,
            "name": self.name,
            "task": self.task,
            "source": self.source,
            "licence": self.licence,
            "seed": self.seed,
            "split": f"by {self.by}, {' / '.join(f'{f:g}' for f in self.fractions)}{stratified}",
            **{split: [] for split in SPLITS},
        }
        salt = secrets.token_hex(16)  # kept nowhere
        for used in self.used:
            entry = {key: self._relative(value) for key, value in used.entry.items()}
            named = {"image": entry["image"], "patient_id": pseudonym(used.patient, salt)}
            manifest[split_of[used.patient]].append(named | entry)
        write_manifest(manifest, self.out)
        logger.info("%s", self._summary([split_of[used.patient] for used in self.used]))
        return manifest

    def _relative(self, value: Any) -> Any:
        """Paths as the manifest holds them; everything else in an entry stays."""
        if isinstance(value, list):
            return [self._relative(part) for part in value]
        return value.relative_to(self.folder).as_posix() if isinstance(value, Path) else value

    def _summary(self, splits: Sequence[str]) -> str:
        """The table at the end: what each split holds, and what was left out and why, the most frequent first."""
        rows = pd.DataFrame([{"patient": used.patient, **_counted(used)} for used in self.used])
        grouped = rows.groupby(pd.Categorical(splits, SPLITS), observed=False)
        parts = [pd.DataFrame({"images": grouped.size(), "patients": grouped["patient"].nunique()}).T]
        for column in rows.columns.drop("patient"):
            if pd.api.types.is_numeric_dtype(rows[column]):
                parts.append(grouped[[column]].sum().T)
            else:
                counts = pd.crosstab(rows[column], pd.Categorical(splits, SPLITS), dropna=False)
                parts.append(counts.set_axis([f"{column}: {word}" for word in counts.index]))
        table = pd.concat(parts).fillna(0).astype(int)
        table["all"] = table.sum(axis=1)
        reasons = sorted(self.left_out.items(), key=lambda item: -len(item[1]))
        lines = [table.to_string(), f"\nused {len(rows)}, left out {sum(len(names) for _, names in reasons)}"]
        for reason, names in reasons[:REASONS_SHOWN]:
            shown = ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
            lines.append(f"{len(names):>6}  {shown}: {reason}")
        if rest := reasons[REASONS_SHOWN:]:
            lines.append(f"{sum(len(names) for _, names in rest):>6}  more, for {len(rest)} other reasons")
        return "\n".join(lines)


def _marked(entry: Mapping[str, Any]) -> str:
    return "mask" if "label" in entry else "boxes" if entry.get("boxes") else "nothing"


def _read(read: Callable[..., Used], image: tuple[Path, tuple[Any, ...]]) -> Used | str:
    """An image as it can be used, or why it cannot."""
    path, known = image
    try:
        return read(path, *known)
    except DataError as error:
        return str(error)


def _counted(used: Used) -> dict[str, int | str]:
    """What the table counts of an image."""
    boxes = used.entry.get("boxes")
    counts: dict[str, int | str] = {}
    if boxes is not None and EMPTY not in used.notes:
        counts = {"positives": int(bool(boxes)), "boxes": len(boxes)}
    return counts | ({"class": used.entry["class"]} if "class" in used.entry else {}) | used.notes


def pseudonym(identity: str, salt: str) -> str:
    """A salted hash instead of a patient's identity; without the salt it cannot be searched for."""
    return hashlib.sha256(f"{salt}:{identity}".encode()).hexdigest()[:16]


def size_of(opened: Dataset | Image | Nifti1Image) -> tuple[int, int]:
    """The (columns, rows) that an image which ``RadiographReader.open`` gave has once it is decoded."""
    if isinstance(opened, Dataset):
        return int(opened.Columns), int(opened.Rows)
    if isinstance(opened, Nifti1Image):
        return int(opened.shape[0]), int(opened.shape[1])
    turned = "exif" in opened.info and opened.getexif().get(ExifTags.Base.Orientation, 1) >= 5  # by a quarter
    return opened.size[::-1] if turned else opened.size


def patients_of(images: Collection[str], table: os.PathLike | str | None) -> dict[str, str]:
    """The patient of each image by a table; an image that is not in it is taken as the only one of its patient.

    Args:
        images: their names, without extension.
        table: a CSV file with the columns ``image`` and ``patient``.

    Raises:
        DataError: if the table is missing, lacks a column or a value, or names an image twice or one that is not there.
    """
    named = {} if table is None else _read_patients(Path(table), images)
    if alone := len(images) - len(named):
        logger.info(
            "%d of %d images are each taken as the only one of their patient. Where that is not so, name them in a "
            "table and give it with --patients.",
            alone,
            len(images),
        )
    return {image: named.get(image, image) for image in images}


def _read_patients(path: Path, images: Collection[str]) -> dict[str, str]:
    table = read_table(path, ["image", "patient"])
    twice = table["image"][table["image"].duplicated()]
    if len(twice):
        raise DataError(f"{path}: names {twice.iloc[0]} twice. An image is of one patient: correct it.")
    unknown = [image for image in table["image"] if image not in images]
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} of its {len(table)} images are not in the folder, the first: {unknown[0]}. Its "
            "column image holds file names without extension. Correct or leave out these rows."
        )
    return dict(zip(table["image"], table["patient"], strict=True))


def read_table(path: Path, filled: Sequence[str], others: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV table as text.

    Args:
        path: of the table.
        filled: columns that have a value in each row.
        others: further columns that it must have.

    Raises:
        DataError: if it is missing, is not a table, or lacks a column or a value.
    """
    columns = [*filled, *others]
    if not path.is_file():
        raise DataError(f"{path}: no such file. It must be a CSV table with the columns {', '.join(columns)}.")
    try:
        table = pd.read_csv(path, dtype=str)
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise DataError(f"{path}: cannot be read as a CSV table ({error}). Copy it again.") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(f"{path}: has no column {', '.join(missing)}; it has {', '.join(table)}. Name it so.")
    for column in filled:
        if table[column].isna().any():
            raise DataError(f"{path}: line {table[column].isna().idxmax() + 2} has no {column}. Correct it.")
    return table
