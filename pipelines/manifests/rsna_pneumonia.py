"""Builds a manifest from the folder of the RSNA Pneumonia Detection Challenge, or of data in its layout."""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydicom.dataset import Dataset

from transforms import DataError, RadiographReader, boxes_to_mask

from .build import ManifestBuild, Used, add_shared_arguments, read_table, size_of

logger = logging.getLogger(__name__)

IMAGES = "stage_2_train_images"
LABELS = "stage_2_train_labels.csv"
DETAILS = "stage_2_detailed_class_info.csv"
HOLDS = f"{IMAGES}/*.dcm, {LABELS} and {DETAILS}"
CLASSES = ("Normal", "No Lung Opacity / Not Normal", "Lung Opacity")
BOX = ["x", "y", "width", "height"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of :func:`build_rsna_manifest`."""
    add_shared_arguments(parser, build_rsna_manifest, HOLDS)
    parser.add_argument("--name", help="of the manifest")
    parser.add_argument("--persons", metavar="CSV", help="patientId,nih_image: the person behind each image")
    parser.add_argument("--checksums", action="store_true", help="note each file's SHA-256")
    parser.add_argument("--unknown_spacing", choices=("refuse", "pixels"), help="of files that do not say it")


def build_rsna_manifest(
    folder: os.PathLike | str,
    out: os.PathLike | str,
    name: str = "rsna",
    seed: int = 0,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    persons: os.PathLike | str | None = None,
    checksums: bool = False,
    unknown_spacing: Literal["refuse", "pixels"] = "refuse",
) -> dict[str, Any]:
    """Read the challenge's folder and write its manifest, with a table of what was used and what was left out.

    Files and annotations are matched both ways; each file is opened once, and its pixels are not decoded.

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
        DataError: if a table, or a column or a value of it, is missing, or no image can be used.
    """
    build = ManifestBuild(
        folder=Path(folder),
        out=Path(out),
        holds=HOLDS,
        name=name,
        task="pneumonia",
        source="RSNA Pneumonia Detection Challenge 2018, or data in its layout",
        licence="as the source says; the challenge's data: non-commercial research and education",
        seed=seed,
        fractions=fractions,
        by="person" if persons else "patient",
    )
    boxes = _read_boxes(build.folder / LABELS)
    details = read_table(build.folder / DETAILS, ["patientId", "class"]).drop_duplicates("patientId")
    class_of = dict(zip(details["patientId"], details["class"], strict=True))
    person_of = _read_persons(Path(persons)) if persons else {}
    paths = {path.stem: path for path in sorted((build.folder / IMAGES).glob("*.dcm"))}
    known = {}
    for image_id, path in paths.items():
        if image_id not in boxes:
            build.leave_out(path, f"it has no row in {LABELS}")
        elif persons and image_id not in person_of:
            build.leave_out(path, f"it has no row in {Path(persons).name}")
        else:
            known[path] = boxes[image_id], class_of.get(image_id, "unknown"), person_of.get(image_id)
    for image_id in boxes:
        if image_id not in paths:
            build.leave_out(build.folder / IMAGES / f"{image_id}.dcm", f"it is in {LABELS}, but its file is missing")
    build.read(partial(_read_image, reader=RadiographReader(unknown_spacing), checksum=checksums), known)
    manifest = build.write()
    if not persons:
        logger.info(
            "The split keeps each PatientID together. For the challenge itself give --persons, a table of the person "
            "behind each image, as it has several images of many persons under different identities."
        )
    return manifest


def _read_image(
    path: Path, boxes: list[list[float]], kind: str, person: str | None, reader: RadiographReader, checksum: bool
) -> Used:
    dataset, _ = reader.open(path)
    if not isinstance(dataset, Dataset):
        raise DataError("it is not a DICOM file, but a picture. Export it again.")
    boxes_to_mask(boxes, size_of(dataset))
    age = str(dataset.get("PatientAge") or "").rstrip("Y")
    entry = {"image": path, "boxes": boxes, "class": kind}
    if checksum:
        entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    notes: dict[str, int | str] = {
        "sex": str(dataset.get("PatientSex") or "unknown"),
        "age": f"{int(age) // 20 * 20:d} to {int(age) // 20 * 20 + 19:d}" if age.isdigit() else "unknown",
        "view": str(dataset.get("ViewPosition") or "unknown"),
    }
    return Used(entry, person or str(dataset.get("PatientID") or "") or path.stem, notes)


def _read_boxes(path: Path) -> dict[str, list[list[float]]]:
    """The boxes of each image, in the order of the table; none for an image whose Target is 0."""
    table = read_table(path, ["patientId"], [*BOX, "Target"])
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
    for image_id, box in zip(
        table["patientId"][positive], numbers[BOX][positive].to_numpy(float).tolist(), strict=True
    ):
        boxes[image_id].append(box)
    return boxes


def _read_persons(path: Path) -> dict[str, str]:
    """NIH names its files PERSON_NUMBER.png."""
    table = read_table(path, ["patientId", "nih_image"])
    return dict(zip(table["patientId"], table["nih_image"].str.split("_").str[0], strict=True))
