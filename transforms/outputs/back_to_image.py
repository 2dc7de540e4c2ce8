"""Brings what a network found on a radiograph back to the grid of the image's file."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import MetaKeys

from ..probabilities.relative_to_peak import SHIFT, shift_of
from ..probabilities.temperature import before_temperature, with_temperature

ROUNDING = 1e-5  # by which an interpolated probability can exceed those that it lies between


class BackToImaged(MapTransform):
    """Interpolates probabilities to the grid of the image's file, and thresholds them.

    What MONAI's Invertd and AsDiscreted give in turn, bilinear, but only where a probability can reach the threshold,
    and without a map of floats in between. Where the image lies in the network's grid is what its affines say.

    Args:
        keys: probabilities of shape (1, size, size), in the network's grid; they become masks of shape (1, x, y),
            uint8, 1 where the probability is at or above the threshold. Their memory has rows of x.
        threshold: 0 to 1, of probabilities after the temperature.
        image_key: the image as the network sees it, a MetaTensor whose metadata has the affine of its file
            (``original_affine``) and the columns and rows of its file (``file_shape``).
        probability_key: where the probabilities go, float32 of shape (1, x, y), or None if they are not needed.
        temperature: that logits are divided by, pixel by pixel in the image's grid, where it was fitted. A mask at 0.5
            is the same at every temperature.

    Raises:
        ValueError: if the affines say anything else than that the image was resized and padded.
    """

    def __init__(
        self,
        keys: KeysCollection,
        threshold: float,
        image_key: str = "image",
        probability_key: str | None = None,
        temperature: float = 1.0,
    ):
        super().__init__(keys)
        self.threshold = before_temperature(threshold, temperature)
        self.temperature = temperature
        self.image_key = image_key
        self.probability_key = probability_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image = d[self.image_key]
        meta = dict(image.meta)
        axes = _placed(image)
        meta[MetaKeys.AFFINE] = torch.as_tensor(np.asarray(meta[MetaKeys.ORIGINAL_AFFINE]))
        for key in self.key_iterator(d):
            probability = np.asarray(d[key][0].detach().cpu(), dtype=np.float32)
            mask, full = upsampled(probability.T, axes[1], axes[0], self.threshold, self.probability_key is not None)
            d[key] = MetaTensor(torch.from_numpy(mask.T)[None], meta=meta)
            if full is not None:
                full = with_temperature(full, self.temperature)
                shift = shift_of(image) / self.temperature
                d[self.probability_key] = MetaTensor(torch.from_numpy(full.T)[None], meta={**meta, SHIFT: shift})
        return d


class Axis(NamedTuple):
    """Where an image lies along an axis of the network's grid.

    Attributes:
        start: the first of the network's pixels.
        inside: how many they are.
        size: the pixels in the image's file.
    """

    start: int
    inside: int
    size: int


def _placed(image: MetaTensor) -> list[Axis]:
    """Along x and y."""
    original = np.asarray(image.meta[MetaKeys.ORIGINAL_AFFINE], float)
    index = np.linalg.inv(original) @ np.asarray(image.affine, float)  # from the network's grid to the file's
    axes = []
    for axis, size in enumerate(int(length) for length in image.meta["file_shape"][:2]):
        step, offset = index[axis, axis], index[axis, -1]
        start, inside = (-0.5 - offset) / step + 0.5, size / step
        axes.append(Axis(round(start), round(inside), size))
        other = np.abs(np.delete(index[axis, :2], axis)).max() / step
        if max(abs(start - round(start)), abs(inside - round(inside)), other) > 1e-3:
            name = image.meta.get("filename_or_obj", "an image")
            raise ValueError(
                f"{name}: the image was not only resized and padded; its affine is {image.affine.tolist()}."
            )
    return axes


def upsampled(
    probability: np.ndarray, down: Axis, across: Axis, threshold: float, keep: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Interpolate bilinearly as torch does without aligned corners, and threshold.

    Args:
        probability: (rows, columns), float32, in the network's grid.
        down: where the image's rows lie in it.
        across: where its columns lie.
        threshold: 0 to 1.
        keep: whether to give the interpolated probabilities too.

    Returns:
        the mask, uint8 of shape (down.size, across.size); and the probabilities, float32, or None.
    """
    inside = probability[down.start : down.start + down.inside, across.start : across.start + across.inside]
    row, row_weight = _neighbours(down)
    column, column_weight = _neighbours(across)
    wide = np.take(inside, column, axis=1)
    wide += (np.take(inside, np.minimum(column + 1, across.inside - 1), axis=1) - wide) * column_weight
    step = np.diff(wide, axis=0, append=wide[-1:])  # from each of the network's rows to the next
    reached = np.maximum(inside, np.roll(inside, -1, axis=0)) >= threshold - ROUNDING
    reached[-1] = inside[-1] >= threshold - ROUNDING
    # the rows and columns of the image between which a row of the network's can reach it
    firsts = np.searchsorted(row, np.arange(down.inside + 1))
    lefts = np.searchsorted(column, reached.argmax(axis=1) - 1)
    rights = np.searchsorted(column, across.inside - reached[:, ::-1].argmax(axis=1))
    if keep:
        reached[:], lefts[:], rights[:] = True, 0, across.size
    mask = np.zeros((down.size, across.size), np.uint8)
    full = np.empty(mask.shape, np.float32) if keep else None
    scratch = np.empty((int(np.diff(firsts).max()), across.size), np.float32)  # stays in the processor's cache
    for place in np.flatnonzero(reached.any(axis=1)).tolist():
        rows, columns = slice(*firsts[place : place + 2]), slice(lefts[place], rights[place])
        weight = row_weight[rows, None]
        band = full[rows] if full is not None else scratch[: len(weight), columns]
        np.multiply(weight, step[place, columns], out=band)
        band += wide[place, columns]
        np.greater_equal(band, threshold, out=mask[rows, columns].view(bool))
    return mask, full


def _neighbours(axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """Of each pixel of the file: the network's pixel before it, and the weight of that after. In float32, as torch."""
    step, half = np.float32(axis.inside / axis.size), np.float32(0.5)
    place = np.maximum(step * (np.arange(axis.size, dtype=np.float32) + half) - half, 0)
    before = np.minimum(place.astype(np.int64), axis.inside - 1)
    return before, place - before.astype(np.float32)
