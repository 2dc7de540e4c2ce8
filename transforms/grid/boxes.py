"""Boxes drawn on a radiograph as a mask, and a mask's parts as boxes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage
from scipy.special import expit, logit

from ..errors import DataError
from ..probabilities.relative_to_peak import shift_of

Box = tuple[float, float, float, float]  # x, y, width, height in pixels, from the corner of the first pixel
MIN_AREA = 1e-3  # of the image. The least box of the challenge's 9,555 covers 0.2 %: smaller components are noise.


def boxes_to_mask(boxes: Sequence[Sequence[float]], shape: tuple[int, int]) -> np.ndarray:
    """Rasterise boxes. A pixel belongs to a box if its centre does.

    Pixel (i, j) covers [i, i + 1) x [j, j + 1), so its centre is (i + 0.5, j + 0.5), and a box covers
    [x, x + width) x [y, y + height). What lies outside the image is clipped; overlapping boxes are united.

    Args:
        boxes: each ``[x, y, width, height]`` in pixels of the image, x to the right, y downwards, from the corner of
            the first pixel. May be empty.
        shape: the image's (columns, rows), MONAI's axis order.

    Returns:
        uint8 of ``shape``, 1 inside a box and 0 outside.

    Raises:
        DataError: if a box is not four finite numbers, has a width or height that is not positive, lies outside the
            image, or is so thin that it holds no pixel's centre.
    """
    mask = np.zeros(shape, np.uint8)
    for box in boxes:
        try:
            x, y, width, height = (float(v) for v in box)
        except (TypeError, ValueError) as error:
            raise DataError(f"box {box!r} is not four numbers [x, y, width, height].") from error
        if not np.all(np.isfinite((x, y, width, height))):
            raise DataError(f"box {box!r} holds a number that is not finite.")
        if width <= 0 or height <= 0:
            raise DataError(f"box {box!r} has a width or height that is not positive.")
        columns, rows = _centres(x, width, shape[0]), _centres(y, height, shape[1])
        if columns.stop <= columns.start or rows.stop <= rows.start:
            raise DataError(f"box {box!r} covers no pixel of the image of {shape[0]} columns and {shape[1]} rows.")
        mask[columns, rows] = 1
    return mask


def _centres(start: float, length: float, size: int) -> slice:
    """The indices of those of ``size`` pixels whose centre lies in [start, start + length)."""
    first, last = np.ceil(start - 0.5), np.ceil(start + length - 0.5)
    return slice(int(np.clip(first, 0, size)), int(np.clip(last, 0, size)))


def mask_to_boxes(
    probability: torch.Tensor, threshold: float, confidence: float = 0.0, least_area: float = MIN_AREA
) -> list[tuple[float, Box]]:
    """The box around each connected component of a predicted mask.

    Args:
        probability: (1, x, y), 0 to 1.
        threshold: a pixel at or above it belongs to the mask. Neighbours share an edge.
        confidence: that a component must have.
        least_area: that it must have, as a share of the image.

    Returns:
        ``(confidence, (x, y, width, height))``, the most confident first. The confidence is the mean probability of
        the component, as it was before :class:`RelativeToPeakd` shifted it to draw an outline. Components smaller
        than ``least_area``, or below ``confidence``, are dropped.
    """
    found: list[tuple[float, Box]] = []
    values, shift = np.asarray(probability[0].detach().cpu()), shift_of(probability)
    mask = values >= threshold
    ends = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    if not mask.any():
        return found
    within = tuple(slice(places[0], places[-1] + 1) for places in ends)  # looking at the rest would only take time
    values, size = values[within], values.size
    components, count = ndimage.label(mask[within])
    for number, place in enumerate(ndimage.find_objects(components, max_label=count), start=1):
        inside = components[place] == number
        mean = float(_shifted_back(values[place][inside], shift).mean())
        if inside.sum() >= least_area * size and mean >= confidence:
            columns, rows = place
            corner = float(ends[0][0] + columns.start), float(ends[1][0] + rows.start)
            box: Box = (*corner, float(columns.stop - columns.start), float(rows.stop - rows.start))
            found.append((mean, box))
    return sorted(found, key=lambda item: -item[0])


def _shifted_back(probability: np.ndarray, shift: float) -> np.ndarray:
    return expit(logit(probability) - shift) if shift else probability


class BoxesToMaskd(MapTransform):
    """Replaces the boxes of an image's original grid by a mask on that grid.

    It must stand before any transform that moves pixels. The mask is a ``MetaTensor`` of shape (1, x, y), uint8, with
    the image's metadata, so that MONAI's spatial transforms and their inverses treat both alike. What has no boxes but
    a mask already passes.

    Args:
        keys: the key of the boxes, see :func:`boxes_to_mask`; it is removed, as lists of different length cannot be
            collated.
        image_key: the image that the boxes were drawn on, a MetaTensor of shape (1, x, y).
        label_key: where the mask goes.

    Raises:
        DataError: as :func:`boxes_to_mask`, with the name of the image's file.
    """

    def __init__(self, keys: KeysCollection = "boxes", image_key: str = "image", label_key: str = "label"):
        super().__init__(keys)
        self.image_key = image_key
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if self.label_key in d:
            return d
        image: MetaTensor = d[self.image_key]
        boxes = [box for key in self.key_iterator(d) for box in d.pop(key)]
        try:
            mask = boxes_to_mask(boxes, (image.shape[1], image.shape[2]))
        except DataError as error:
            name = image.meta.get("filename_or_obj", "an image without a file name")
            raise DataError(f"{name}: {error} Correct its boxes in the manifest.") from error
        d[self.label_key] = MetaTensor(torch.from_numpy(mask[None]), meta=dict(image.meta))
        return d
