"""Builds a manifest from the folder of the RSNA 2023 Abdominal Trauma challenge, or of data in its layout."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transforms import CTReader, is_nifti, match_grid

from .build import ManifestBuild, Used, add_shared_arguments

logger = logging.getLogger(__name__)

IMAGES = "train_images"
SEGMENTATIONS = "segmentations"
HOLDS = f"{IMAGES}/PATIENT/SERIES/ and {SEGMENTATIONS}/SERIES.nii or .nii.gz"
SOURCE = "RSNA Abdominal Traumatic Injury CT 2023, or data in its layout"
LICENCE = "as the source says; the challenge's data: non-commercial research and education"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of :func:`build_abdominal_trauma_manifest`."""
    add_shared_arguments(parser, build_abdominal_trauma_manifest, HOLDS)
    parser.add_argument("--name", help="of the manifest")


def build_abdominal_trauma_manifest(
    folder: os.PathLike | str,
    out: os.PathLike | str,
    name: str = "abdominal_trauma",
    seed: int = 0,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
) -> dict[str, Any]:
    """Read the challenge's folder and write its manifest, with a table of what was used and what was left out.

    Every header of the series that have a segmentation is read; no pixel is decoded. A segmentation must lie on its
    series' grid by both headers, up to the order and direction of the axes: the challenge's NIfTI files run left,
    anterior, superior, its DICOM slices left, posterior. Which way each runs is taken from the headers, as the
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
        DataError: if no series with a segmentation can be used.
    """
    build = ManifestBuild(
        folder=Path(folder),
        out=Path(out),
        holds=HOLDS,
        name=name,
        task="abdomen",
        source=SOURCE,
        licence=LICENCE,
        seed=seed,
        fractions=fractions,
    )
    images: dict[str, list[Path]] = {}
    for path in sorted((build.folder / IMAGES).glob("*/*")):
        if path.is_dir() or (is_nifti(path) and path.name[0] != "."):
            images.setdefault(_series(path), []).append(path)
    labels: dict[str, Path] = {}
    for path in sorted((build.folder / SEGMENTATIONS).glob("*")):
        if is_nifti(path) and path.name[0] != ".":
            first = labels.setdefault(_series(path), path)
            if first != path:
                build.leave_out(path, f"{first.name} is of the same series")
    pairs = {}
    for series, label in labels.items():
        found = images.pop(series, [])
        if len(found) == 1:
            pairs[found[0]] = (label,)
        else:
            places = f"{len(found)} places" if found else "no place"
            build.leave_out(label, f"its series is in {places} below {IMAGES}")
    build.read(_read_pair, pairs)
    manifest = build.write()
    logger.info("series without a segmentation, which are not used: %d", sum(map(len, images.values())))
    return manifest


def _read_pair(series: Path, label: Path) -> Used:
    volume, mask = CTReader().open(series), CTReader().open(label)
    match_grid(mask.affine, mask.shape, volume.affine, volume.shape, str(label), str(series))
    # by the folder: the challenge keeps each patient's series together, and anonymisers blank the PatientID
    return Used({"image": series, "label": label}, series.parent.name, {"slices": volume.shape[2]})


def _series(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")
