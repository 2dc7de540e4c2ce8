"""Builds a manifest from folders of radiographs and of masks drawn on them, as lungs and opacities are published."""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transforms import DataError, MaskReader, RadiographReader, image_name

from .build import EMPTY, ManifestBuild, Used, add_shared_arguments, patients_of, size_of

IMAGE_FOLDERS = ("cxr_png", "images", "image")
MASK_FOLDERS = ("masks", "mask", "leftmask", "rightmask")
MASK_POSTFIX = "_mask"
HOLDS = "images below CXR_png/, images/ or image/, and masks below masks/, mask/, or leftMask/ and rightMask/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of :func:`build_masks_manifest`."""
    add_shared_arguments(parser, build_masks_manifest, HOLDS)
    parser.add_argument("--task", required=True, help="the bundle's, such as lungs or opacity")
    parser.add_argument("--name", required=True, help="of the manifest")
    parser.add_argument("--licence", help="of the data")
    text = "subfolders whose masks of the lungs count in what lies behind the heart"
    parser.add_argument("--behind_heart", nargs="*", metavar="FOLDER", help=text)
    text = "subfolders of images in which nothing is to be marked, as of healthy patients; they need no masks"
    parser.add_argument("--empty", nargs="*", metavar="FOLDER", help=text)
    parser.add_argument("--patients", metavar="CSV", help="image,patient: which images are of one patient")


def build_masks_manifest(
    folder: os.PathLike | str,
    out: os.PathLike | str,
    task: str,
    name: str,
    seed: int = 0,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    patients: os.PathLike | str | None = None,
    licence: str = "as the source says",
    behind_heart: Sequence[str] = (),
    empty: Sequence[str] = (),
) -> dict[str, Any]:
    """Pair radiographs with masks by their names and write the manifest, with a table of what was left out and why.

    The layouts: images below ``CXR_png/``, ``images/`` or ``image/``, masks below ``masks/``, ``mask/``, or
    ``leftMask/`` and ``rightMask/`` (Montgomery: the lungs are their union), at any depth. A mask is named as its
    image, or so with ``_mask`` behind it; extensions may differ. Of images only the header is read, masks are decoded.

    Args:
        folder: holds them; the manifest's paths are relative to it.
        out: the manifest to write.
        task: that of the bundle to train, such as ``lungs``.
        name: the manifest's name.
        seed: of the split.
        fractions: of the patients for training, validation and test.
        patients: a CSV with the columns ``image`` (a file's name without extension) and ``patient``. An image that is
            not in it is taken as the only one of its patient.
        licence: of the data.
        behind_heart: subfolders of ``folder`` whose masks of the lungs count in what lies behind the heart and the
            mediastinum. Their entries say so, and :class:`transforms.UnknownBehindHeartd` leaves that part out.
        empty: subfolders of ``folder`` with images in which nothing is to be marked, as of healthy patients where
            opacities are. They need no masks; an image with one is left out.

    Returns:
        the manifest.

    Raises:
        DataError: if no image can be used, a folder of ``behind_heart`` or ``empty`` is not there, or the CSV is
            missing, lacks a column or a value, or names an image twice or one that is not there.
    """
    build = ManifestBuild(
        folder=Path(folder),
        out=Path(out),
        holds=HOLDS,
        name=name,
        task=task,
        source=f"radiographs and masks: {name}",
        licence=licence,
        seed=seed,
        fractions=fractions,
        by="patient" if patients else "image",
    )
    counted_in = _subfolders(build.folder, "behind_heart", behind_heart)
    nothing_in = _subfolders(build.folder, "empty", empty)
    images, masks = _find(build.folder)
    patient_of = patients_of(images, patients)
    pairs: dict[Path, tuple[list[Path], str, bool]] = {}
    for stem, files in sorted(images.items()):
        behind, nothing = (not paths.isdisjoint(files[0].parents) for paths in (counted_in, nothing_in))
        if stem not in masks and not nothing:
            reason = "it has no mask"
        elif len(files) > 1:
            reason = f"{len(files)} images have its name"
        elif stem in masks and nothing:
            reason = "it has a mask, and is said to be empty"
        else:
            pairs[files[0]] = masks.get(stem, []), patient_of[stem], behind
            continue
        for file in files:
            build.leave_out(file, reason)
    for stem in sorted(masks.keys() - images.keys()):
        for file in masks[stem]:
            build.leave_out(file, "it is a mask without an image")
    build.read(_read_pair, pairs)
    return build.write()


def _subfolders(folder: Path, option: str, names: Sequence[str]) -> set[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        if not path.is_dir():
            raise DataError(f"{path}: no such folder. --{option} takes folders below {folder}.")
    return set(paths)


def _find(folder: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """The images and the masks below a folder, by the name that pairs them."""
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


def _read_pair(path: Path, masks: list[Path], patient: str, behind_heart: bool) -> Used:
    opened, _ = RadiographReader("pixels").open(path)
    if not masks:
        return Used({"image": path, "boxes": []}, patient, {EMPTY: 1})
    folders = sorted(mask.parent.name.lower() for mask in masks)
    if folders != ["leftmask", "rightmask"] and (len(masks) > 1 or folders[0] in ("leftmask", "rightmask")):
        raise DataError(f"it has {len(masks)} masks, in {', '.join(folders)}")
    size, shape = size_of(opened), MaskReader().get_data(masks)[0].shape
    if size != shape:
        raise DataError(f"the image is of {size} pixels, its mask of {shape}")
    entry = {"image": path, "label": masks if len(masks) > 1 else masks[0]}
    return Used(entry | ({"behind_heart": True} if behind_heart else {}), patient)
