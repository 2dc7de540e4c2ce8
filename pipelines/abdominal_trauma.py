"""Builds a manifest from the folder of the RSNA 2023 Abdominal Trauma challenge, or of data in its layout."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from transforms import CTReader, DataError, check_writable, is_nifti, match_grid

from .manifest import SPLITS, check_fractions, make_manifest, split_patients, write_manifest

logger = logging.getLogger(__name__)

IMAGES = "train_images"
SEGMENTATIONS = "segmentations"
ORGANS = ("liver", "spleen", "left kidney", "right kidney", "bowel")  # 1 to 5; 0 is none of them
GREY_MODES, LABEL_MODES = ("L",), ("L", "P")  # Pillow's: grey of 8 bits; a mask may have a palette
SOURCE = "RSNA Abdominal Traumatic Injury CT 2023, or data in its layout"
LICENCE = "as the source says; the challenge's data: non-commercial research and education"


def build_abdominal_trauma_manifest(
    folder: os.PathLike | str,
    out: os.PathLike | str,
    name: str = "abdominal_trauma",
    seed: int = 0,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
) -> dict[str, Any]:
    """Read the challenge's folder and write its manifest, with a table of what was used and what was left out.

    Every header of the series that have a segmentation is read, in parallel; no pixel is decoded. A segmentation must
    lie on its series' grid by both headers, up to the order and direction of the axes: the challenge's NIfTI files run
    left, anterior, superior, its DICOM slices left, posterior. Which way each runs is taken from the headers, as the
    challenge's organisers say to do, and never assumed.

    Args:
        folder: holds ``train_images/PATIENT/SERIES/*.dcm``, or ``train_images/PATIENT/SERIES.nii.gz``, and
            ``segmentations/SERIES.nii`` or ``.nii.gz``: 0 background, 1 liver, 2 spleen, 3 left kidney, 4 right
            kidney, 5 bowel. Series without a segmentation are not used.
        out: the manifest to write.
        name: the manifest's name.
        seed: of the split.
        fractions: of the patients for training, validation and test.

    Returns:
        the manifest.

    Raises:
        DataError: if the folder has no segmentations, or none can be used.
    """
    folder = Path(folder)
    check_writable([Path(out).absolute().parent])
    check_fractions(fractions)
    labels = {
        _series(path): path
        for path in sorted((folder / SEGMENTATIONS).glob("*"))
        if is_nifti(path) and path.name[0] != "."
    }
    if not labels:
        raise DataError(
            f"{folder / SEGMENTATIONS}: holds no NIfTI file. Give the challenge's folder, the one that holds {IMAGES}/ "
            f"and {SEGMENTATIONS}/."
        )
    images: dict[str, list[Path]] = {}
    for path in sorted((folder / IMAGES).glob("*/*")):
        if path.is_dir() or (is_nifti(path) and path.name[0] != "."):
            images.setdefault(_series(path), []).append(path)

    pairs, left_out = [], []
    for series, label in labels.items():
        found = images.get(series, [])
        if len(found) == 1:
            pairs.append((found[0], label))
        else:
            places = f"{len(found)} places" if found else "no place"
            left_out.append((f"{SEGMENTATIONS}/{label.name}", f"its series is in {places} below {IMAGES}"))
    rows = _read_all(partial(_read_headers, folder=folder), pairs, left_out, desc="reading headers", unit="series")
    if not rows:
        raise DataError(f"{folder}: no series can be used: {left_out[0][0]}: {left_out[0][1]}")

    manifest, table = _make_manifest(rows, name, SOURCE, seed, fractions)
    write_manifest(manifest, out)
    logger.info("%s", _summary(table, left_out, f"{len(labels)} segmentations"))
    without = sum(len(found) for series, found in images.items() if series not in labels)
    logger.info("series without a segmentation, which are not used: %d", without)
    return manifest


def build_png_slices_manifest(
    folder: os.PathLike | str,
    out: os.PathLike | str,
    name: str = "abdominal_trauma_png",
    seed: int = 0,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
) -> dict[str, Any]:
    """Pair the slices of the challenge's CT, as PNG files, with masks, and write the manifest and the table.

    A PNG file says nothing of where its slice lies, so image and mask are paired by their names alone: whoever made
    the masks must have laid them onto the pixels of the images. Every mask is decoded, of images only the header.

    Args:
        folder: holds ``images/`` and ``masks/``, in each, at any depth, ``PATIENT_SERIES_INDEX.png`` or
            ``PATIENT/SERIES/INDEX.png``, in grey. A mask has the values 0 to 5, as the segmentations have.
        out: the manifest to write.
        name: the manifest's name.
        seed: of the split.
        fractions: of the patients for training, validation and test.

    Returns:
        the manifest.

    Raises:
        DataError: if no image with a mask can be used.
    """
    folder = Path(folder)
    check_writable([Path(out).absolute().parent])
    check_fractions(fractions)
    left_out: list[tuple[str, str]] = []
    images, masks = (_png_slices(folder, part, left_out) for part in ("images", "masks"))
    left_out += [
        (path.relative_to(folder).as_posix(), "it has no mask") for key, path in images.items() if key not in masks
    ]
    left_out += [
        (path.relative_to(folder).as_posix(), "it has no image") for key, path in masks.items() if key not in images
    ]
    pairs = [(path, masks[key], key) for key, path in images.items() if key in masks]
    chunk = max(1, min(64, len(pairs) // 8))
    read = partial(_read_pngs, folder=folder)
    rows = _read_all(read, pairs, left_out, chunk, desc="reading masks", unit="file")
    if not rows:
        raise DataError(
            f"{folder}: no image with a mask: {len(images)} slices below images/, {len(masks)} below masks/"
            + (f"; {left_out[0][0]}: {left_out[0][1]}" if left_out else "")
            + ". Name both PATIENT_SERIES_INDEX.png or PATIENT/SERIES/INDEX.png."
        )
    manifest, table = _make_manifest(rows, name, f"PNG slices of {SOURCE}", seed, fractions)
    write_manifest(manifest, out)
    logger.info("%s", _summary(table, left_out, f"{len(images)} images"))
    return manifest


def _read_all(
    read: Callable[[Any], dict[str, Any]],
    pairs: Sequence[Any],
    left_out: list[tuple[str, str]],
    chunk: int = 1,
    **progress: str,
) -> list[dict[str, Any]]:
    """What ``read`` gives for each pair, in parallel; what has an ``error`` goes to ``left_out``."""
    rows = []
    with ProcessPoolExecutor() as pool:
        for row in tqdm(pool.map(read, pairs, chunksize=chunk), total=len(pairs), disable=None, **progress):
            if "error" in row:
                left_out.append((row["image"], row["error"]))
            else:
                rows.append(row)
    return rows


def _make_manifest(
    rows: list[dict[str, Any]], name: str, source: str, seed: int, fractions: Sequence[float]
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Split rows of ``image``, ``label`` and ``patient`` by patient; the manifest, and the rows with their split."""
    table = pd.DataFrame(rows)
    table["split"] = table["patient"].map(split_patients(list(table["patient"]), ["all"] * len(table), fractions, seed))
    head = {
        "name": name,
        "task": "abdomen",
        "source": source,
        "licence": LICENCE,
        "seed": seed,
        "split": f"by patient, {' / '.join(f'{f:g}' for f in fractions)}",
    }
    entries = [
        (row["split"], row["patient"], {"image": row["image"], "label": row["label"]})
        for row in table.to_dict("records")
    ]
    return make_manifest(head, entries), table


def _summary(table: pd.DataFrame, left_out: list[tuple[str, str]], of: str) -> str:
    """The table at the end: what each split holds, and what was left out and why."""
    split = pd.Categorical(table["split"], SPLITS)
    grouped = table.groupby(split, observed=False)
    shown = pd.DataFrame(
        {
            "series": grouped["series"].nunique(),
            "patients": grouped["patient"].nunique(),
            "slices": grouped["slices"].sum(),
        }
    ).T
    shown["all"] = shown.sum(axis=1)
    reasons = pd.Series([reason for _, reason in left_out], dtype=str).value_counts()
    lines = [shown.to_string(), f"\nused {len(table)} of {of}; left out {len(left_out)}:"]
    lines += [f"  {count} because: {reason}" for reason, count in reasons.head(20).items() if count > 1]
    lines += [f"  {name}: {reason}" for name, reason in left_out[:20]] if left_out else ["  nothing"]
    if len(left_out) > 20:
        lines.append(f"  ... and {len(left_out) - 20} more")
    return "\n".join(lines)


def _series(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _read_headers(pair: tuple[Path, Path], folder: Path) -> dict[str, Any]:
    """What the manifest's table needs of a series and its segmentation, or ``error``: why they cannot be used."""
    image, label = pair
    names = {"image": image.relative_to(folder).as_posix(), "label": label.relative_to(folder).as_posix()}
    try:
        volume, mask = CTReader().open(image), CTReader().open(label)
        match_grid(mask.affine, mask.shape, volume.affine, volume.shape, names["label"], names["image"])
    except DataError as error:
        return names | {"error": str(error).removeprefix(f"{image}: ").replace(f"{folder}{os.sep}", "")}
    # by the folder: the challenge keeps each patient's series together, and anonymisers blank the PatientID
    return names | {"patient": image.parent.name, "series": _series(image), "slices": volume.shape[2]}


def _png_slices(folder: Path, part: str, left_out: list[tuple[str, str]]) -> dict[tuple[str, str, str], Path]:
    """The PNG files of a part of the folder by patient, series and index."""
    found: dict[tuple[str, str, str], Path] = {}
    for path in sorted((folder / part).rglob("*.png")):
        key = tuple(path.stem.split("_"))
        if len(key) == 1:
            key = (*path.relative_to(folder / part).parts[-3:-1], path.stem)
        if len(key) != 3:
            reason = "it is not named PATIENT_SERIES_INDEX.png, nor PATIENT/SERIES/INDEX.png"
            left_out.append((path.relative_to(folder).as_posix(), reason))
        elif key in found:
            reason = f"it has the name of {found[key].relative_to(folder).as_posix()}"
            left_out.append((path.relative_to(folder).as_posix(), reason))
        else:
            found[key] = path
    return found


def _read_pngs(pair: tuple[Path, Path, tuple[str, str, str]], folder: Path) -> dict[str, Any]:
    """What the manifest's table needs of an image and its mask, or ``error``: why they cannot be used."""
    path, label, (patient, series, _) = pair
    names = {"image": path.relative_to(folder).as_posix(), "label": label.relative_to(folder).as_posix()}
    try:
        with Image.open(path) as image, Image.open(label) as mask:
            if image.mode not in GREY_MODES or mask.mode not in LABEL_MODES:
                return names | {
                    "error": f"the image is of mode {image.mode}, its mask of {mask.mode}; both must be grey"
                }
            if image.size != mask.size:
                return names | {"error": f"the image is of {image.size} pixels, its mask of {mask.size}"}
            highest = int(np.asarray(mask).max())
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises on damaged files
        return names | {"error": f"it or its mask cannot be read ({str(error).replace(str(folder) + os.sep, '')})"}
    if highest > len(ORGANS):
        return names | {"error": f"its mask has the value {highest}, above {len(ORGANS)}"}
    return names | {"patient": patient, "series": series, "slices": 1}
