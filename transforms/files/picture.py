"""Reads grey values from PNG and JPEG files, which radiographs and their masks are often published as."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin

from ..errors import DataError
from .bounds import check_regular, check_size
from .worker import LIMITS, Limits, decoded

KINDS = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG"}  # by how such files begin
# The classes, since Image.open has a limit of its own, and tries all formats
CLASSES = {"PNG": PngImagePlugin.PngImageFile, "JPEG": JpegImagePlugin.JpegImageFile}
OUTPUT = ("Software", "radbundles")  # a text of PNG files that are no images, but masks and overlays of images


def is_picture(path: Path) -> bool:
    """Whether a file begins as PNG or JPEG files do, whatever its name."""
    return _kind(path) is not None


def _kind(path: Path) -> str | None:
    with open(path, "rb") as file:
        start = file.read(8)
    return next((kind for signature, kind in KINDS.items() if start.startswith(signature)), None)


def open_picture(path: Path) -> Image.Image:
    """Open a PNG or JPEG file without decoding its pixels.

    Raises:
        DataError: if it is no regular file, its header cannot be read, or it is too large (:func:`bounds.check_size`).
    """
    check_regular(path)
    kind = _kind(path)
    if kind is None:
        raise DataError(f"{path}: neither a PNG nor a JPEG file, by how it begins. Convert it, or leave it out.")
    try:
        picture = CLASSES[kind](path)
    except Exception as error:  # Pillow raises what its plugins raise
        raise DataError(f"{path}: cannot be read as PNG or JPEG ({error}). Copy it again, or leave it out.") from error
    check_size(picture.height, picture.width, path)
    return picture


def is_output(picture: Image.Image) -> bool:
    """Whether a picture is a mask or an overlay that this project wrote."""
    return picture.info.get(OUTPUT[0]) == OUTPUT[1]


def stored_values(path: Path, limits: Limits = LIMITS) -> np.ndarray:
    """Decode a picture as it is stored: the indices of a palette, and colours as they are.

    Returns:
        of shape (rows, columns), or (rows, columns, samples).

    Raises:
        DataError: as :func:`grey_values`.
    """
    return _decoded(path, limits, stored=True)


def picture_levels(path: Path, limits: Limits = LIMITS) -> tuple[np.ndarray, np.ndarray]:
    """Decode a picture as a viewer shows it: turned as its EXIF orientation says, colour as luminance.

    Transparent pixels are black. It is decoded by another process: see :func:`worker.decoded`.

    Returns:
        integers of shape (rows, columns), none below 0; and the value of each integer, float32, 0 black to 1 white.

    Raises:
        DataError: if the file is too large, damaged or cut short, or does what ``limits`` do not allow.
    """
    integers = _decoded(path, limits, stored=False)
    if integers.dtype.itemsize > 2:  # 16 bits, which Pillow may give as 32
        integers = integers.clip(0, 65535).astype(np.uint16)
    return integers, full_range(integers.dtype)


def full_range(kind: np.dtype) -> np.ndarray:
    """The value of each integer of 8 or 16 bits without a sign, float32, 0 black to 1 white."""
    most = np.iinfo(kind).max
    return np.arange(most + 1, dtype=np.float32) / most


def grey_values(path: Path, limits: Limits = LIMITS) -> np.ndarray:
    """The picture of :func:`picture_levels` as float32 of shape (rows, columns), 0 black to 1 white."""
    integers, levels = picture_levels(path, limits)
    return levels.take(integers)


def _decoded(path: Path, limits: Limits, stored: bool) -> np.ndarray:
    with open_picture(path) as picture:
        rows, columns = picture.height, picture.width
        samples = [(len(picture.getbands()),)] if stored and len(picture.getbands()) > 1 else [()]
    turned = [] if stored else [(columns, rows)]
    shapes = [size + extra for size in [(rows, columns), *turned] for extra in samples]
    return decoded(path, "picture", shapes, limits, kind=_kind(path), stored=stored)
