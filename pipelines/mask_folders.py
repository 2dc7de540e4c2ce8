"""Builds a manifest from folders of radiographs and of masks drawn on them, as lungs and opacities are published."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from pydicom.dataset import Dataset

from transforms import DataError, MaskReader, RadiographReader, check_writable, image_name

from .manifest import SPLITS, check_fractions, make_manifest, split_patients, write_manifest

logger = logging.getLogger(__name__)

IMAGE_FOLDERS = ("cxr_png", "images", "image")
MASK_FOLDERS = ("masks", "mask", "leftmask", "rightmask")
MASK_POSTFIX = "_mask"


def build_masks_manifest(
    folder: os.PathLike | str,
    out: os.PathLike | str,
    task: str,
    name: str,
    seed: int = 0,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    patients: os.PathLike | str | None = None,
    licence: str = "as the source says",
) -> dict[str, Any]:
    """Pair radiographs with masks by their names and write the manifest, with a table of what was left out and why.

    The layouts: images below ``CXR_png/``, ``images/`` or ``image/``, masks below ``masks/``, ``mask/``, or
    ``leftMask/`` and ``rightMask/`` (Montgomery: the lungs are their union), at any depth. A mask is named as its
    image, or so with ``_mask`` behind it; extensions may differ.

    Args:
        folder: holds them; the manifest's paths are relative to it.
        out: the manifest to write.
        task: ``lungs`` or ``opacity``.
        name: the manifest's name.
        seed: of the split.
        fractions: of the patients for training, validation and test.
        patients: a CSV with the columns ``image`` (a file's name without extension) and ``patient``. An image that is
            not in it is taken as the only one of its patient.
        licence: of the data.

    Returns:
        the manifest.

    Raises:
        DataError: if no pair can be used, or the CSV is missing, lacks a column or a value, or names an image twice or
            one that is not there.
    """
    folder = Path(folder)
    check_writable([Path(out).absolute().parent])
    check_fractions(fractions)
    images, masks = _find(folder)
    patient_of = _read_patients(patients, images) if patients else {}
    left_out = [(stem, "it is a mask without an image") for stem in masks if stem not in images]
    candidates = []
    for stem, files in sorted(images.items()):
        if stem not in masks:
            left_out.append((stem, "it has no mask"))
        elif len(files) > 1:
            left_out.append((stem, f"{len(files)} images have this name"))
        elif reason := _not_one_mask(masks[stem]):
            left_out.append((stem, reason))
        else:
            candidates.append((stem, files[0], masks[stem]))
    with ThreadPoolExecutor() as pool:
        reasons = list(pool.map(lambda candidate: _why_not(*candidate[1:]), candidates))
    left_out += [(stem, reason) for (stem, *_), reason in zip(candidates, reasons) if reason]
    used = [candidate for candidate, reason in zip(candidates, reasons) if not reason]
    if not used:
        raise DataError(
            f"{folder}: no image with a mask: {len(images)} images below {', '.join(IMAGE_FOLDERS)} and {len(masks)} "
            f"masks below {', '.join(MASK_FOLDERS)} were found"
            + (f", the first left out: {left_out[0][0]}: {left_out[0][1]}." if left_out else ".")
        )
    people = [patient_of.get(stem, stem) for stem, *_ in used]
    alone = sum(stem not in patient_of for stem, *_ in used)
    split_of = split_patients(people, [name] * len(used), fractions, seed)
    head = {
        "name": name,
        "task": task,
        "source": f"radiographs and masks: {name}",
        "licence": licence,
        "seed": seed,
        "split": f"by patient, {' / '.join(f'{f:g}' for f in fractions)}",
    }
    entries = [
        {
            "image": image.relative_to(folder).as_posix(),
            "label": _one_or_list([mask.relative_to(folder).as_posix() for mask in label]),
        }
        for _, image, label in used
    ]
    manifest = make_manifest(head, [(split_of[person], person, entry) for person, entry in zip(people, entries)])
    write_manifest(manifest, out)
    counts = ", ".join(f"{len(manifest[split])} {split}" for split in SPLITS)
    lines = [f"{len(used)} images of {len(set(people))} patients: {counts}; left out {len(left_out)}:"]
    lines += [f"  {stem}: {reason}" for stem, reason in left_out[:20]] if left_out else ["  nothing"]
    lines += [f"  ... and {len(left_out) - 20} more"] if len(left_out) > 20 else []
    logger.info("\n".join(lines))
    if alone:
        logger.info(
            "%d of %d images were each taken for the only one of its patient. Where that is not so, name them in a "
            "table and give it with --patients.",
            alone,
            len(used),
        )
    return manifest


def _find(folder: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """The images and the masks below a folder, by the name that pairs them."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder.")
    images, masks = defaultdict(list), defaultdict(list)
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        nearest = next(
            (p for p in map(str.lower, path.relative_to(folder).parts[-2::-1]) if p in IMAGE_FOLDERS + MASK_FOLDERS), ""
        )
        if nearest in MASK_FOLDERS:
            masks[image_name(path).removesuffix(MASK_POSTFIX)].append(path)
        elif nearest in IMAGE_FOLDERS:
            images[image_name(path)].append(path)
    return images, masks


def _not_one_mask(files: Sequence[Path]) -> str | None:
    """Two masks are one image's only where they are those of the left and the right lung."""
    folders = [path.parent.name.lower() for path in files]
    if len(files) == 1 and folders[0] not in ("leftmask", "rightmask"):
        return None
    if sorted(folders) == ["leftmask", "rightmask"]:
        return None
    return f"it has {len(files)} masks, in {', '.join(folders)}"


def _why_not(image: Path, masks: Sequence[Path]) -> str | None:
    try:
        opened, _ = RadiographReader("pixels").open(image)
        shape = MaskReader().get_data(masks)[0].shape
    except DataError as error:
        return str(error)
    size = (int(opened.Columns), int(opened.Rows)) if isinstance(opened, Dataset) else opened.size
    return None if size == shape else f"the image is of {size} pixels, its mask of {shape}"


def _one_or_list(paths: list[str]) -> str | list[str]:
    return paths if len(paths) > 1 else paths[0]


def _read_patients(path: os.PathLike | str, images: dict[str, list[Path]]) -> dict[str, str]:
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file.")
    table = pd.read_csv(path, dtype=str)
    if not {"image", "patient"} <= set(table):
        raise DataError(f"{path}: must have the columns image and patient; it has {', '.join(table)}. Name them so.")
    for column in ("image", "patient"):
        if table[column].isna().any():
            raise DataError(f"{path}: line {table[column].isna().idxmax() + 2} has no {column}. Correct it.")
    twice = table["image"][table["image"].duplicated()]
    if len(twice):
        raise DataError(f"{path}: names {twice.iloc[0]} twice. An image is of one patient: correct it.")
    unknown = [image for image in table["image"] if image not in images]
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} of its {len(table)} images are not in the folder, the first: {unknown[0]}. Its "
            "column image holds file names without extension. Correct or leave out these rows."
        )
    return dict(zip(table["image"], table["patient"]))
