"""Builds a manifest from the folder of the RSNA Pneumonia Detection Challenge, or of data in its layout."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from transforms import DataError, RadiographReader, check_writable

from .manifest import SPLITS, check_fractions, make_manifest, split_patients, write_manifest

logger = logging.getLogger(__name__)

IMAGES = "stage_2_train_images"
LABELS = "stage_2_train_labels.csv"
DETAILS = "stage_2_detailed_class_info.csv"
CLASSES = ("Normal", "No Lung Opacity / Not Normal", "Lung Opacity")
BOX = ["x", "y", "width", "height"]


def build_rsna_manifest(
    folder: os.PathLike | str,
    out: os.PathLike | str,
    name: str = "rsna",
    seed: int = 0,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    persons: os.PathLike | str | None = None,
    checksums: bool = False,
    unknown_spacing: str = "refuse",
) -> dict[str, Any]:
    """Read the challenge's folder and write its manifest, with a table of what was used and what was left out.

    Every file is opened once, in parallel; its pixels are not decoded. Files and annotations are matched both ways.

    Args:
        folder: holds ``stage_2_train_images/*.dcm``, ``stage_2_train_labels.csv``, ``stage_2_detailed_class_info.csv``.
        out: the manifest to write.
        name: the manifest's name.
        seed: of the split.
        fractions: of the patients for training, validation and test.
        persons: a CSV with ``patientId`` and ``nih_image``, which says what person each image is of. The challenge
            has an identity per image, while its source, NIH ChestX-ray14, has several images of many persons: without
            this file the same person may be in two splits.
        checksums: whether to note each file's SHA-256, which training then verifies.
        unknown_spacing: as of :class:`transforms.RadiographReader`.

    Returns:
        the manifest.

    Raises:
        DataError: if a table or a column of it is missing or no image can be used.
    """
    folder = Path(folder)
    check_writable([Path(out).absolute().parent])
    check_fractions(fractions)
    reader = RadiographReader(unknown_spacing)
    boxes = _read_boxes(folder / LABELS)
    classes = _read_table(folder / DETAILS, ["patientId", "class"]).drop_duplicates("patientId")
    classes = dict(zip(classes["patientId"], classes["class"]))
    person_of = _read_persons(persons) if persons else {}
    paths = sorted((folder / IMAGES).glob("*.dcm"))
    if not paths:
        raise DataError(f"{folder / IMAGES}: holds no .dcm file. Give the challenge's folder, the one above it.")

    rows, left_out = [], []
    chunk = max(1, min(64, len(paths) // 8))
    with ProcessPoolExecutor() as pool:
        headers = pool.map(partial(_read_header, reader=reader, checksum=checksums), paths, chunksize=chunk)
        for path, header in zip(
            paths, tqdm(headers, total=len(paths), desc="reading headers", unit="file", disable=None)
        ):
            image_id = path.stem
            if "error" in header:
                left_out.append((path.name, header["error"]))
            elif image_id not in boxes:
                left_out.append((path.name, f"it has no row in {LABELS}"))
            elif outside := [box for box in boxes[image_id] if not _touches(box, header["size"])]:
                left_out.append((path.name, f"its box {outside[0]} lies outside its {header['size']} pixels"))
            elif persons and image_id not in person_of:
                left_out.append((path.name, f"it has no row in {Path(persons).name}"))
            else:
                person = person_of.get(image_id, header.pop("patient") or image_id)
                rows.append({"id": image_id, "person": person, "class": classes.get(image_id, "unknown"), **header})
    present = {path.stem for path in paths}
    left_out += [
        (image_id, f"it is in {LABELS}, but its file is missing") for image_id in boxes if image_id not in present
    ]
    if not rows:
        raise DataError(f"{folder}: no image can be used: {left_out[0][0]}: {left_out[0][1]}")

    table = pd.DataFrame(rows)
    table["boxes"] = [boxes[image_id] for image_id in table["id"]]
    strata = [f"{kind}, {'boxes' if b else 'no box'}" for kind, b in zip(table["class"], table["boxes"])]
    split_of = split_patients(list(table["person"]), strata, fractions, seed)
    table["split"] = table["person"].map(split_of)
    head = {
        "name": name,
        "task": "pneumonia",
        "source": "RSNA Pneumonia Detection Challenge 2018, or data in its layout",
        "licence": "as the source says; the challenge's data: non-commercial research and education",
        "seed": seed,
        "split": f"by {'person' if persons else 'patient'}, {' / '.join(f'{f:g}' for f in fractions)}, "
        "stratified by class and boxes",
    }
    manifest = make_manifest(head, [(row["split"], row["person"], _entry(row)) for row in table.to_dict("records")])
    write_manifest(manifest, out)
    logger.info("%s", _summary(table, left_out, len(paths)))
    if not persons:
        logger.info(
            "The split keeps each PatientID together. For the challenge itself give --persons, a table of the person "
            "behind each image, as it has several images of many persons under different identities."
        )
    return manifest


def _entry(row: dict[str, Any]) -> dict[str, Any]:
    entry = {"image": f"{IMAGES}/{row['id']}.dcm", "boxes": row["boxes"], "class": row["class"]}
    return entry | ({"sha256": row["sha256"]} if "sha256" in row else {})


def _touches(box: list[float], size: tuple[int, int]) -> bool:
    """Whether a box has a part inside an image of (columns, rows)."""
    return all(start < length and start + extent > 0 for start, extent, length in zip(box[:2], box[2:], size))


def _read_header(path: Path, reader: RadiographReader, checksum: bool) -> dict[str, Any]:
    """What the manifest's table needs of a file, or ``{"error": why it cannot be used}``."""
    try:
        dataset, _ = reader.open(path)
    except DataError as error:
        return {"error": str(error).removeprefix(f"{path}: ")}
    age = str(dataset.get("PatientAge") or "").rstrip("Y")
    header = {
        "size": (int(dataset.Columns), int(dataset.Rows)),
        "patient": str(dataset.get("PatientID") or ""),
        "sex": str(dataset.get("PatientSex") or "unknown"),
        "age": f"{int(age) // 20 * 20:d} to {int(age) // 20 * 20 + 19:d}" if age.isdigit() else "unknown",
        "view": str(dataset.get("ViewPosition") or "unknown"),
    }
    return header | ({"sha256": hashlib.sha256(path.read_bytes()).hexdigest()} if checksum else {})


def _read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path}: no such file. The challenge's folder holds {IMAGES}/, {LABELS} and {DETAILS}.")
    try:
        table = pd.read_csv(path, dtype={"patientId": str})
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise DataError(f"{path}: cannot be read as a CSV table ({error}). Download it again.") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(f"{path}: has no column {', '.join(missing)}; it has {', '.join(table)}. Name it so.")
    if table["patientId"].isna().any():
        raise DataError(f"{path}: line {table['patientId'].isna().idxmax() + 2} has no patientId. Correct it.")
    return table


def _read_boxes(path: Path) -> dict[str, list[list[float]]]:
    """The boxes of each image, in the order of the table; none for an image whose Target is 0."""
    table = _read_table(path, ["patientId", *BOX, "Target"])
    numbers = table[[*BOX, "Target"]].apply(pd.to_numeric, errors="coerce")
    positive, empty = numbers["Target"] == 1, table[BOX].isna().all(axis=1)
    valid = np.isfinite(numbers[BOX]).all(axis=1) & (numbers[["width", "height"]] > 0).all(axis=1)
    good = (positive & valid) | ((numbers["Target"] == 0) & empty)
    if not good.all():
        raise DataError(
            f"{path}: line {(~good).idxmax() + 2} must have Target 1 and a valid box (x, y, width, height: numbers, "
            "the last two above 0), or Target 0 and none. Correct it."
        )
    boxes: dict[str, list[list[float]]] = {image_id: [] for image_id in table["patientId"]}
    for image_id, box in zip(table["patientId"][positive], numbers[BOX][positive].to_numpy(float).tolist()):
        boxes[image_id].append(box)
    return boxes


def _read_persons(path: os.PathLike | str) -> dict[str, str]:
    """NIH names its files PERSON_NUMBER.png."""
    table = _read_table(Path(path), ["patientId", "nih_image"])
    return dict(zip(table["patientId"], table["nih_image"].str.split("_").str[0]))


def _summary(table: pd.DataFrame, left_out: list[tuple[str, str]], files: int) -> str:
    """The table at the end: what each split holds, and what was left out and why."""
    table = table.assign(boxes=table["boxes"].map(len), positives=table["boxes"].map(bool))
    split = pd.Categorical(table["split"], SPLITS)
    parts = [
        table.groupby(split, observed=False)
        .agg(
            images=("id", "size"),
            patients=("person", "nunique"),
            positives=("positives", "sum"),
            boxes=("boxes", "sum"),
        )
        .T
    ]
    for column in ("class", "sex", "age", "view"):
        counts = pd.crosstab(table[column], split, dropna=False)
        counts.index = [f"{column}: {value}" for value in counts.index]
        parts.append(counts)
    summary = pd.concat(parts).fillna(0).astype(int)
    summary["all"] = summary.sum(axis=1)
    reasons = pd.Series([reason for _, reason in left_out], dtype=str).value_counts()
    lines = [summary.to_string(), f"\nused {len(table)} of {files} files; left out {len(left_out)}:"]
    lines += [f"  {count} because: {reason}" for reason, count in reasons.head(20).items()]
    lines += [f"  {name}: {reason}" for name, reason in left_out[:20]] if left_out else ["  nothing"]
    if len(left_out) > 20:
        lines.append(f"  ... and {len(left_out) - 20} more")
    return "\n".join(lines)
