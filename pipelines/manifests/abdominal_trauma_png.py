"""Builds a manifest from slices of the RSNA 2023 Abdominal Trauma challenge's CT as PNG files, and masks of them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transforms import DataError, LabelMapReader
from transforms.files.picture import open_picture

from .abdominal_trauma import LICENCE, SOURCE
from .build import ManifestBuild, Used, add_shared_arguments

HOLDS = "images/ and masks/, with PATIENT_SERIES_INDEX.png or PATIENT/SERIES/INDEX.png in both"
HIGHEST = 5  # the challenge's last organ, the bowel
GREY_MODES, LABEL_MODES = ("L",), ("L", "P")  # Pillow's: grey of 8 bits; a mask may have a palette


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of :func:`build_png_slices_manifest`."""
    add_shared_arguments(parser, build_png_slices_manifest, HOLDS)
    parser.add_argument("--name", help="of the manifest")


def build_png_slices_manifest(
    folder: os.PathLike | str,
    out: os.PathLike | str,
    name: str = "abdominal_trauma_png",
    seed: int = 0,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
) -> dict[str, Any]:
    """Pair the slices of the challenge's CT, as PNG files, with masks, and write the manifest and the table.

    A PNG file does not say where its slice lies, so image and mask are paired by their names alone: the masks must
    have been drawn on the pixels of these images. Every mask is decoded, of images only the header.

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
    build = ManifestBuild(
        folder=Path(folder),
        out=Path(out),
        holds=HOLDS,
        name=name,
        task="abdomen",
        source=f"PNG slices of {SOURCE}",
        licence=LICENCE,
        seed=seed,
        fractions=fractions,
    )
    images, masks = (_slices(build, part) for part in ("images", "masks"))
    for key in sorted(images.keys() - masks.keys()):
        build.leave_out(images[key], "it has no mask")
    for key in sorted(masks.keys() - images.keys()):
        build.leave_out(masks[key], "it has no image")
    build.read(_read_pair, {path: (masks[key], key[0]) for key, path in images.items() if key in masks})
    return build.write()


def _slices(build: ManifestBuild, part: str) -> dict[tuple[str, ...], Path]:
    """The PNG files of a part of the folder by patient, series and index."""
    found: dict[tuple[str, ...], Path] = {}
    for path in sorted((build.folder / part).rglob("*.png")):
        key = tuple(path.stem.split("_"))
        if len(key) == 1:
            key = (*path.relative_to(build.folder / part).parts[-3:-1], path.stem)
        if len(key) != 3:
            build.leave_out(path, "it is not named PATIENT_SERIES_INDEX.png, nor PATIENT/SERIES/INDEX.png")
        elif key in found:
            build.leave_out(path, f"it has the name of {found[key].relative_to(build.folder).as_posix()}")
        else:
            found[key] = path
    return found


def _read_pair(path: Path, label: Path, patient: str) -> Used:
    with open_picture(path) as image, open_picture(label) as mask:
        modes, sizes = (image.mode, mask.mode), (image.size, mask.size)
    if modes[0] not in GREY_MODES or modes[1] not in LABEL_MODES:
        raise DataError(f"the image is of mode {modes[0]}, its mask of {modes[1]}; both must be grey")
    if sizes[0] != sizes[1]:
        raise DataError(f"the image is of {sizes[0]} pixels, its mask of {sizes[1]}")
    highest = int(LabelMapReader().get_data(label)[0].max())
    if highest > HIGHEST:
        raise DataError(f"its mask has the value {highest}, above {HIGHEST}")
    return Used({"image": path, "label": label}, patient)
