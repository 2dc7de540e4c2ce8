"""What the stored pixels of a radiograph mean on a screen: modality LUT, VOI LUT or window, polarity, padding."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from ..errors import DataError
from .header import LARGEST_VALUE, named, number

try:
    from pydicom.pixels import apply_modality_lut, apply_voi
except ImportError:  # pydicom 2, which MONAI Label pins
    from pydicom.pixel_data_handlers.util import apply_modality_lut, apply_voi  # type: ignore[no-redef]

MOST_LEVELS = 2**16  # between the least and the greatest stored value; beyond, only those that are there count
SMALLEST_SLOPE = 1 / LARGEST_VALUE  # of a rescale: less makes all pixels alike
# The window width that shows nothing, by the VOI function, PS3.3 C.11.2.1.2 and C.11.2.1.3
NARROWEST = {"LINEAR": 1.0, "LINEAR_EXACT": 0.0, "SIGMOID": 0.0}


def display_levels(stored: np.ndarray, dataset: Dataset, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """What the stored values of a radiograph mean on a display, worked out once for each value.

    Args:
        stored: integers of any shape.
        dataset: the header that says what they mean.
        path: the file, for errors.

    Returns:
        integers of the same shape, none below 0; and the value of each integer, float32, 0 black to 1 white.

    Raises:
        DataError: if the window or the rescale cannot be, or all pixels are shown alike.
    """
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    low, high = int(stored.min()), int(stored.max())
    first = min(low, 0)
    if high - first < MOST_LEVELS:
        values = np.arange(first, high + 1).astype(stored.dtype)
        # the difference is right in as many bits without a sign, even where it is too large with one
        integers = stored if first == 0 else (stored - stored.dtype.type(first)).view(f"u{stored.dtype.itemsize}")
    else:
        first = low
        values, places = np.unique(stored, return_inverse=True)
        integers = places.reshape(stored.shape)
    levels = _display_values(values, dataset, path)
    shown = levels[low - first]
    if shown == levels[-1] and np.ptp(levels.take(integers)) == 0:  # which are both on the image
        raise DataError(
            f"{path}: all its pixels, stored as {low} to {high}, are shown alike, as {shown:g} of 0 black to 1 "
            "white. Leave it out if it is empty; else correct its window, LUT, rescale or padding."
        )
    return integers, levels


def _display_values(stored: np.ndarray, dataset: Dataset, path: Path) -> np.ndarray:
    """Float32, 0 black to 1 white."""
    _check_rescale(dataset, path)
    # whose index would overflow in 16 bits
    modality = apply_modality_lut(stored.astype(np.int32) if "ModalityLUTSequence" in dataset else stored, dataset)
    if "VOILUTSequence" in dataset:
        shown = _voi_lut(modality.astype(np.int32), dataset, path)
    elif (window := _window(dataset, path)) is not None:
        shown = _windowed(modality.astype(np.float32), *window)
    else:
        low, high = _modality_range(dataset)
        shown = (modality - low) / (high - low)
    shown = np.clip(shown, 0, 1).astype(np.float32)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = 1 - shown
    shown[_is_padding(stored, dataset)] = 0
    return shown


def _check_rescale(dataset: Dataset, path: Path) -> None:
    number(dataset, "RescaleIntercept", path)
    slope = number(dataset, "RescaleSlope", path)
    if slope is not None and abs(slope) < SMALLEST_SLOPE:
        raise DataError(f"{path}: {named('RescaleSlope')} is {slope:g}, which makes all pixels alike. Correct the tag.")


def _window(dataset: Dataset, path: Path) -> tuple[str, float, float] | None:
    """The VOI function, and the centre and the width of the first window, or None where there is none."""
    width, center = number(dataset, "WindowWidth", path, low=0), number(dataset, "WindowCenter", path)
    if width is None or center is None:
        return None
    function = dataset.get("VOILUTFunction") or "LINEAR"
    if function not in NARROWEST:
        raise DataError(
            f"{path}: {named('VOILUTFunction')} is {function}, not one of {', '.join(NARROWEST)}. Correct the tag."
        )
    if not width > NARROWEST[function]:
        raise DataError(f"{path}: {named('WindowWidth')} is {width:g}, too narrow to show anything. Correct the tag.")
    return function, center, width


def _windowed(values: np.ndarray, function: str, center: float, width: float) -> np.ndarray:
    """The VOI functions of PS3.3 C.11.2.1.2 and C.11.2.1.3, onto 0 to 1."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - center) / width))
    if function == "LINEAR_EXACT":
        return (values - center) / width + 0.5
    return (values - (center - 0.5)) / (width - 1) + 0.5


def _voi_lut(values: np.ndarray, dataset: Dataset, path: Path) -> np.ndarray:
    """The first VOI LUT of PS3.3 C.11.2.1.1, onto 0 to 1.

    pydicom looks values up by indices that have no more bits than the LUT's entries: of 8, as many as 4096 entries
    may have, they would wrap around. So it is told of 16.
    """
    lut = deepcopy(dataset.VOILUTSequence[0])
    entries, first, bits = lut.LUTDescriptor
    if not 8 <= bits <= 16:
        raise DataError(
            f"{path}: {named('LUTDescriptor')} says {bits} bits, not 8 to 16. Correct or remove the VOI LUT."
        )
    lut["LUTDescriptor"].value = [entries, first, 16]
    wide = Dataset()
    wide.VOILUTSequence, wide.file_meta = [lut], dataset.file_meta
    if not hasattr(wide, "pixel_array_options"):  # pydicom 2
        wide.is_little_endian = dataset.is_little_endian
    return apply_voi(np.clip(values, first, first + (entries or 2**16) - 1), wide) / (2.0**bits - 1)


def _modality_range(dataset: Dataset) -> tuple[float, float]:
    """The least and the greatest value that the bits of the file can hold, after the modality LUT."""
    if "ModalityLUTSequence" in dataset:
        return 0.0, 2.0 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    bits, signed = int(dataset.BitsStored), int(dataset.PixelRepresentation)
    bounds = np.array([-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1] if signed else [0.0, 2.0**bits - 1])
    if "RescaleSlope" in dataset and "RescaleIntercept" in dataset:
        bounds = bounds * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    return float(bounds.min()), float(bounds.max())


def _is_padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit", value)
    return (stored >= min(value, limit)) & (stored <= max(value, limit))
