"""Reads grey values from PNG and JPEG files, which radiographs and their masks are often published as."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..errors import DataError

SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # of PNG and JPEG
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I")  # what Pillow calls PNG of 16 bits


def is_picture(path: Path) -> bool:
    """Whether a file begins as PNG or JPEG files do, whatever its name."""
    with open(path, "rb") as file:
        return file.read(8).startswith(SIGNATURES)


def open_picture(path: Path) -> Image.Image:
    """Open a PNG or JPEG file without decoding its pixels.

    Raises:
        DataError: if its header cannot be read.
    """
    try:
        return Image.open(path)
    except Exception as error:  # Pillow raises what its plugins raise
        raise DataError(f"{path}: cannot be read as PNG or JPEG ({error}). Copy it again, or leave it out.") from error


def grey_values(picture: Image.Image, path: Path) -> np.ndarray:
    """Decode a picture as a viewer shows it: turned as its EXIF orientation says, colour as luminance.

    Transparent pixels are black.

    Returns:
        float32 of shape (rows, columns), 0 black to 1 white.

    Raises:
        DataError: if the file is damaged or cut short.
    """
    try:
        picture = ImageOps.exif_transpose(picture)
        if picture.mode in DEEP_MODES:
            return (np.asarray(picture, np.float32) / 65535).clip(0, 1)
        if "A" in picture.getbands() or "transparency" in picture.info:
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture.convert("RGBA"))
        return np.asarray(picture.convert("L"), np.float32) / 255
    except Exception as error:
        raise DataError(f"{path}: cannot be decoded, it may be damaged ({error}). Copy it again.") from error
