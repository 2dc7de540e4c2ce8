"""Builds a manifest from images and boxes in COCO's layout, as annotation tools export them.

The layout: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from transforms import DataError, RadiographReader, boxes_to_mask, image_name

from .build import ManifestBuild, Used, add_shared_arguments, patients_of, size_of

HOLDS = "the images that the annotations name, each by its file_name relative to DIR"
BESIDE = (".json", ".csv")  # annotations and tables may lie beside the images


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of :func:`build_coco_manifest`."""
    add_shared_arguments(parser, build_coco_manifest, HOLDS)
    parser.add_argument("--annotations", required=True, metavar="FILE", help="images, annotations, categories: JSON")
    parser.add_argument("--task", required=True, help="the bundle's, such as pneumonia")
    parser.add_argument("--name", help="of the manifest")
    parser.add_argument("--licence", help="of the data")
    parser.add_argument("--categories", nargs="+", metavar="NAME", help="whose boxes count; all unless given")
    parser.add_argument("--patients", metavar="CSV", help="image,patient: which images are of one patient")
    parser.add_argument("--unknown_spacing", choices=("refuse", "pixels"), help="of files that do not say it")


def build_coco_manifest(
    folder: os.PathLike | str,
    out: os.PathLike | str,
    annotations: os.PathLike | str,
    task: str,
    name: str = "coco",
    seed: int = 0,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    categories: Sequence[str] | None = None,
    patients: os.PathLike | str | None = None,
    licence: str = "as the source says",
    unknown_spacing: Literal["refuse", "pixels"] = "refuse",
) -> dict[str, Any]:
    """Match images with COCO's boxes and write the manifest, with a table of what was left out and why.

    Files and entries are matched both ways; each file is opened once, and its pixels are not decoded. An image without
    a box that counts is one in which nothing was found. An image with a crowd's box (``iscrowd``) is left out: it says
    that there is more in it than was drawn.

    Args:
        folder: holds the images: DICOM, PNG or JPEG.
        out: the manifest to write.
        annotations: a JSON file with ``images`` (``id``, ``file_name`` relative to the folder, ``width``, ``height``),
            ``annotations`` (``image_id``, ``category_id``, ``bbox``: [x, y, width, height] in pixels, from the corner
            of the first pixel) and ``categories`` (``id``, ``name``).
        task: that of the bundle to train, such as ``pneumonia``.
        name: the manifest's name.
        seed: of the split.
        fractions: of the patients for training, validation and test.
        categories: names of those whose boxes count; all unless given.
        patients: a CSV with the columns ``image`` (``file_name`` without extension) and ``patient``. An image that is
            not in it is taken as the only one of its patient.
        licence: of the data.
        unknown_spacing: as of :class:`transforms.RadiographReader`; PNG and JPEG files need ``"pixels"``.

    Returns:
        the manifest.

    Raises:
        DataError: if the annotations are missing or in another layout, there is no such category, no image can be
            used, or the CSV is missing, lacks a column or a value, or names an image twice or one that is not there.
    """
    build = ManifestBuild(
        folder=Path(folder),
        out=Path(out),
        holds=HOLDS,
        name=name,
        task=task,
        source=f"boxes in COCO's layout: {name}",
        licence=licence,
        seed=seed,
        fractions=fractions,
        by="patient" if patients else "image",
    )
    annotations = Path(annotations)
    images, drawn = _read_annotations(annotations, categories)
    files = {
        path.relative_to(build.folder).as_posix(): path
        for path in sorted(build.folder.rglob("*"))
        if path.is_file() and path.name[0] != "." and path.suffix.lower() not in BESIDE
    }
    patient_of = patients_of({_stem(file) for file in images}, patients)
    known = {}
    for file, entries in images.items():
        boxes = [box for entry in entries for box in drawn.pop(entry["id"], [])]
        if file not in files:
            build.leave_out(file, f"it is in {annotations.name}, but its file is missing")
        elif len(entries) > 1:
            build.leave_out(file, f"{len(entries)} images of {annotations.name} have its name")
        elif any(box.get("iscrowd") for box in boxes):
            build.leave_out(file, "it has the box of a crowd (iscrowd)")
        else:
            size = entries[0]["width"], entries[0]["height"]
            known[files[file]] = [box["bbox"] for box in boxes], size, patient_of[_stem(file)]
    for file in sorted(files.keys() - images.keys()):
        build.leave_out(file, f"it has no entry in {annotations.name}")
    for image_id in drawn:
        build.leave_out(f"image_id {image_id}", f"{annotations.name} has boxes on it, but no such image")
    build.read(partial(_read_image, reader=RadiographReader(unknown_spacing)), known)
    return build.write()


def _read_annotations(
    path: Path, categories: Sequence[str] | None
) -> tuple[dict[str, list[dict[str, Any]]], dict[Any, list[dict[str, Any]]]]:
    """The entries of the images by file, and those of the boxes that count by ``image_id``."""
    images, drawn = defaultdict(list), defaultdict(list)
    try:
        coco = json.loads(path.read_text(encoding="utf-8"))
        name_of = {category["id"]: str(category["name"]) for category in coco["categories"]}
        for image in coco["images"]:
            images[Path(image["file_name"]).as_posix()].append({key: image[key] for key in ("id", "width", "height")})
        for box in coco["annotations"]:
            if categories is None or name_of.get(box["category_id"]) in categories:
                drawn[box["image_id"]].append({"bbox": box["bbox"], "iscrowd": box.get("iscrowd")})
        ids = [image["id"] for image in coco["images"]]
        strange = {box["category_id"] for box in coco["annotations"]} - name_of.keys()
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(
            f"{path}: cannot be read as COCO's annotations ({type(error).__name__}: {error}). It must be JSON: "
            "images of id, file_name, width, height; annotations of image_id, category_id, bbox; categories of id, name"
        ) from error
    if twice := [image_id for image_id, count in Counter(ids).items() if count > 1]:
        raise DataError(
            f"{path}: two images have the id {twice[0]}, so it is not known whose boxes are which. Correct it."
        )
    if strange:
        raise DataError(f"{path}: has boxes of category_id {min(strange, key=str)}, but no such category. Correct it.")
    if unknown := sorted(set(categories or ()) - set(name_of.values())):
        raise DataError(
            f"{path}: has no category {', '.join(unknown)}; it has {', '.join(name_of.values())}. Name it so."
        )
    return images, drawn


def _read_image(
    path: Path, boxes: list[list[float]], size: tuple[int, int], patient: str, reader: RadiographReader
) -> Used:
    opened, _ = reader.open(path)
    found = size_of(opened)
    if found != size:
        raise DataError(f"the file is of {found} pixels, its entry says {size}")
    boxes_to_mask(boxes, found)
    return Used({"image": path, "boxes": [[float(number) for number in box] for box in boxes]}, patient)


def _stem(file: str) -> str:
    """A file's path without extension."""
    return (Path(file).parent / image_name(file)).as_posix()
