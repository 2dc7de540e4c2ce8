"""Lays a mask onto the grid of its image where only the order and the direction of the axes differ."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import MetaKeys

from ..errors import DataError

GRID_TOLERANCE_MM = 0.5  # of a voxel's centre in the mask from that in the image; below half a pixel of a body CT


class MatchGridd(MapTransform):
    """Brings masks onto their image's grid by flipping and swapping axes, as both affines say. Nothing is resampled.

    Segmentations in NIfTI often have their axes in another order or direction than the CT that they were drawn on.
    Where the grids agree but for that, to 0.5 mm, the mask gets the image's axes and affine.

    Args:
        keys: the masks, MetaTensors of shape (x, y, z) or (channel, x, y, z).
        image_key: the image, a MetaTensor of either shape.
        values: the values that a mask may have; None allows any.

    Raises:
        DataError: if a mask's grid is another one, with what differs, or a mask has other values.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image", values: Sequence[int] | None = None):
        super().__init__(keys)
        self.image_key = image_key
        self.values = None if values is None else sorted(values)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        data = dict(data)
        image = data[self.image_key]
        for key in self.key_iterator(data):
            mask = data[key]
            self._check_values(mask)
            axes, flipped = match_grid(
                *_grid(mask), *_grid(image), mask=_name(mask, key), image=_name(image, self.image_key)
            )
            first = mask.ndim - 3  # of the spatial axes
            order = [*range(first), *(first + axis for axis in axes)]
            array = mask.as_tensor().permute(order).flip([first + axis for axis in np.flatnonzero(flipped)])
            meta = mask.meta | {
                MetaKeys.AFFINE: image.affine.clone(),
                MetaKeys.ORIGINAL_AFFINE: image.affine.clone(),
                MetaKeys.SPATIAL_SHAPE: np.asarray(array.shape[first:]),
            }
            data[key] = MetaTensor(array.contiguous(), meta=meta, applied_operations=mask.applied_operations)
        return data

    def _check_values(self, mask: MetaTensor) -> None:
        if self.values is None:
            return
        unknown = sorted(set(torch.unique(mask.as_tensor()).tolist()) - set(self.values))
        if unknown:
            shown = ", ".join(f"{value:g}" for value in unknown[:5])
            raise DataError(
                f"{_name(mask, 'the mask')}: has the values {shown}{' and others' if len(unknown) > 5 else ''}; "
                f"{', '.join(map(str, self.values))} are known. Correct it, or map its values, as with MapLabelValued."
            )


def match_grid(
    mask_affine: np.ndarray,
    mask_shape: Sequence[int],
    image_affine: np.ndarray,
    image_shape: Sequence[int],
    mask: str = "the mask",
    image: str = "the image",
) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """How a mask's axes become those of its image.

    Args:
        mask_affine: 4 x 4, from index to millimetres, in RAS.
        mask_shape: voxels along the three axes.
        image_affine: as the mask's.
        image_shape: as the mask's.
        mask: its name, for errors.
        image: its name, for errors.

    Returns:
        for each axis of the image, the mask's axis that runs along it, and whether it runs the other way.

    Raises:
        DataError: if the grids differ by more than that.
    """
    index_map = np.linalg.inv(image_affine) @ mask_affine  # from the mask's index to the image's
    axes = np.abs(index_map[:3, :3]).argmax(axis=1)
    flipped = np.array([index_map[row, axis] < 0 for row, axis in enumerate(axes)])
    same_shape = [mask_shape[axis] for axis in axes] == list(image_shape)
    if sorted(axes) == [0, 1, 2] and same_shape:
        mask_corners = np.array(list(product(*((0, length - 1) for length in mask_shape))), float)
        image_corners = mask_corners[:, axes]
        image_corners = np.where(flipped, np.array(image_shape) - 1 - image_corners, image_corners)
        apart = _millimetres(mask_affine, mask_corners) - _millimetres(image_affine, image_corners)
        if np.linalg.norm(apart, axis=1).max() <= GRID_TOLERANCE_MM:
            return tuple(int(axis) for axis in axes), tuple(bool(flip) for flip in flipped)
    raise DataError(
        f"{mask}: is not on the grid of {image}, beyond the order and direction of axes: "
        f"{_describe(mask_affine, mask_shape)}; the image: {_describe(image_affine, image_shape)} "
        f"({GRID_TOLERANCE_MM:g} mm is allowed). Give the mask of this image, or resample it onto the image."
    )


def _millimetres(affine: np.ndarray, indices: np.ndarray) -> np.ndarray:
    return indices @ affine[:3, :3].T + affine[:3, 3]


def _describe(affine: np.ndarray, shape: Sequence[int]) -> str:
    """Shape, spacing, extent and rotation in words that do not depend on the order of the axes."""
    corners = _millimetres(affine, np.array(list(product(*((0, length - 1) for length in shape))), float))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    main = np.abs(affine[:3, :3] / spacing).argmax(axis=1)  # by the patient's axis: right, anterior, superior
    extent = ", ".join(
        f"{low:.1f} to {high:.1f}" for low, high in zip(corners.min(axis=0), corners.max(axis=0), strict=True)
    )
    voxels = " x ".join(str(shape[axis]) for axis in main)
    millimetres = " x ".join(f"{spacing[axis]:.4g}" for axis in main)
    return f"{voxels} voxels of {millimetres} mm, from {extent} mm"


def _grid(image: MetaTensor) -> tuple[np.ndarray, tuple[int, ...]]:
    if not isinstance(image, MetaTensor):
        raise TypeError("MatchGridd needs MetaTensors, as LoadImaged gives them: the affine is in the metadata.")
    return np.asarray(image.affine, float), tuple(image.shape[-3:])


def _name(image: MetaTensor, otherwise: str) -> str:
    return str(image.meta.get("filename_or_obj", otherwise))
