"""Radiographs as integers and the grey value of each: large only as integers, floating point once they are small.

A file holds few different values, 256 or 4,096. What each means, its place among percentiles and how it is scaled are
worked out once for each value, not for each pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.data import MetaTensor
from PIL import Image
from torch.nn.functional import interpolate

LEVELS = "levels"  # the key of the metadata
STEPS = 65536  # that floating point values are put in
ROWS = 128  # that are looked up at a time: they stay in the processor's cache
COUNTED = (np.uint8, np.int16)  # by torch as they are, in half of NumPy's time
GAP = 3  # pixels of the grid between for one of the result, at least


def grey_levels(image: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """An image as integers and the value of each.

    Integers have their values in the metadata, as ``RadiographReader(indexed=True)`` gives them, or are values
    themselves. Floating point values are put in 65,536 steps from the least to the greatest, as exact as a cache.

    Args:
        image: of shape (1, x, y).

    Returns:
        the integers, of shape (x, y) and none below 0; and the value of each integer from 0 on, float32.
    """
    values = np.asarray(image[0].detach().cpu())
    if isinstance(image, MetaTensor) and LEVELS in image.meta:
        return values.astype(np.intp) if values.dtype.kind == "f" else values, np.asarray(image.meta[LEVELS])
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        scale = max(float(high) - float(low), 1e-30) / (STEPS - 1)
        return ((values - low) / scale).round().astype(np.uint16), (low + scale * np.arange(STEPS)).astype(np.float32)
    return (values if low >= 0 else values - low), np.arange(min(low, 0), int(high) + 1, dtype=np.float32)


def percentiles_of(integers: np.ndarray, levels: np.ndarray, wanted: Sequence[float]) -> np.ndarray:
    """What ``numpy.percentile`` gives of the values, linear between the two next in order, from their histogram.

    Args:
        integers: of any shape, none below 0.
        levels: the value of each integer.
        wanted: 0 to 100.

    Returns:
        float64, one for each of ``wanted``.
    """
    counts = histogram(integers, len(levels))
    order = np.argsort(levels, kind="stable")  # MONOCHROME1 and lookup tables fall where the integers rise
    last = np.cumsum(counts[order]) - 1  # the place of the last pixel of each level
    place = np.asarray(wanted, float) / 100 * (integers.size - 1)
    before = np.floor(place).astype(int)
    lower, upper = (levels[order[np.searchsorted(last, at)]].astype(float) for at in (before, np.ceil(place)))
    return lower + (place - before) * (upper - lower)


def histogram(integers: np.ndarray, length: int) -> np.ndarray:
    """How often each integer from 0 to ``length`` - 1 is there."""
    flat = integers.reshape(-1)
    if flat.dtype in COUNTED:
        return torch.bincount(torch.from_numpy(flat), minlength=length).numpy()
    counts = np.zeros(length, np.int64)
    for start in range(0, flat.size, STEPS):  # bincount widens what it counts to 64 bits
        counts += np.bincount(flat[start : start + STEPS], minlength=length)
    return counts


def resample(integers: np.ndarray, levels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The image of the values in another size: each pixel a mean of those under it, the nearer the heavier.

    It is that of Pillow's ``Image.resize`` with ``BILINEAR`` and a ``reducing_gap``: means of whole squares first, as
    large as leave three times the pixels that are wanted, then a triangle as wide as two pixels of the result. Nothing
    beyond the border is mixed in. Where the image gets larger this is bilinear interpolation. Without squares torch
    does the same, and without Pillow's copies.

    Args:
        integers: (x, y), none below 0.
        levels: the value of each integer, float32.
        shape: of the result, (x, y).

    Returns:
        float32.
    """
    factor = max(1, int(min(integers.shape[0] / shape[0], integers.shape[1] / shape[1]) / GAP))
    if factor == 1:
        values = torch.from_numpy(levels.take(integers))[None, None]
        return interpolate(values, shape, mode="bilinear", antialias=True)[0, 0].numpy()
    rows = -(-ROWS // factor) * factor
    strips = (levels.take(integers[start : start + rows]) for start in range(0, len(integers), rows))
    reduced = np.concatenate([np.asarray(Image.fromarray(strip).reduce(factor)) for strip in strips])
    # the last square may be cut by the border: it is not as wide as the others
    box = (0, 0, integers.shape[1] / factor, integers.shape[0] / factor)
    return np.array(Image.fromarray(reduced).resize(shape[::-1], Image.Resampling.BILINEAR, box=box))
