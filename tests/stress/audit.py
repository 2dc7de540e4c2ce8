"""An independent look at a file that was read: whether what was read can be right by what the file says.

It uses none of the readers' code. What a header does not say, such as a changed pixel, it cannot tell.
"""

from __future__ import annotations

import gzip
import math
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image

LARGEST = 1e6


def wrong(path: Path, reader: str, values: np.ndarray, meta: dict[str, Any]) -> str | None:
    """What is wrong with an array, columns first, that a reader gave of a file; None if nothing is.

    Args:
        path: the file that was damaged.
        reader: of :data:`tests.stress.samples.READERS`.
        values: of shape (x, y), or (x, y, z) of a CT.
        meta: with the reader's ``affine``.
    """
    if not np.isfinite(values).all() or np.abs(values).max() > LARGEST:
        return "values that are no numbers, or beyond a million"
    if reader in ("radiograph", "CT") and values.min() == values.max():
        return "one value everywhere"
    if reader == "radiograph" and not 0 <= values.min() <= values.max() <= 1:
        return "grey values beyond 0 and 1"
    if values.ndim == 3 and len(slices := list(path.parent.iterdir())) > 1 and values.shape[2] != len(slices):
        return f"{values.shape[2]} slices of {len(slices)} files"
    if reader in ("radiograph", "CT"):
        spacing = np.linalg.norm(np.asarray(meta["affine"])[:3, :3], axis=0)[: values.ndim]
        if not ((spacing >= 0.0099) & (spacing <= 50.01)).all():
            return f"a spacing of {spacing}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = path.read_bytes()[:132]
        if start[128:] == b"DICM" and not start.startswith((b"\x89PNG", b"\xff\xd8\xff")):
            return _wrong_of_dicom(pydicom.dcmread(path), values)
        if start.startswith((b"\x89PNG", b"\xff\xd8\xff")):
            with Image.open(path) as image:
                sizes = [image.size] if reader == "labels" else [image.size, image.size[::-1]]
            return None if values.shape in sizes else f"of {values.shape}, the file's header says {sizes[0]}"
    return _wrong_of_nifti(path, values)


def _wrong_of_dicom(header: pydicom.Dataset, values: np.ndarray) -> str | None:
    size = float(header.Columns), float(header.Rows)
    if values.shape[:2] != size:
        return f"of {values.shape}, Columns and Rows are {size}"
    if float(header.get("NumberOfFrames") or 1) != 1 or float(header.get("SamplesPerPixel") or 1) != 1:
        return "one of several frames or samples"
    syntax = header.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        expected = math.ceil(size[0] * size[1] * header.BitsAllocated / 8)
        if not 0 <= len(header.PixelData) - expected <= expected % 2:
            return f"{len(header.PixelData)} bytes of pixels, of {expected}"
    tags = ["RescaleSlope", "RescaleIntercept"]
    if values.ndim == 2 and not header.get("VOILUTSequence"):
        tags += ["WindowCenter", "WindowWidth"]
    if header.get("ModalityLUTSequence"):
        tags = []
    for tag in tags:
        found = header.get(tag)
        if tag in header and header[tag].VR != "DS":
            return f"{tag} is read as {header[tag].VR}"
        for value in found if isinstance(found, list | pydicom.multival.MultiValue) else [found]:
            if value not in (None, "") and not abs(float(value)) <= LARGEST:
                return f"{tag} is {value}"
            break  # the first one is used
    return None


def _wrong_of_nifti(path: Path, values: np.ndarray) -> str | None:
    with gzip.open(path) if path.name.endswith(".gz") else open(path, "rb") as file:
        header = file.read(540)
    place, kind = (16, "8q") if header[4:8] in (b"n+2\0", b"ni2\0") else (40, "8h")
    count, *shape = struct.unpack_from(f"<{kind}", header, place)
    if not 1 <= count <= 7:
        count, *shape = struct.unpack_from(f">{kind}", header, place)
    shape = shape[:count]
    while len(shape) > values.ndim and shape[-1] == 1:
        shape.pop()
    return None if values.shape == tuple(shape) else f"of {values.shape}, the file's header says {shape}"
