"""Series of a DICOM store as the images that MONAI Label hands to bundles, and labels on their grids."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel
import numpy as np
from monai.transforms import LoadImage

from transforms import CTReader, DataError, RadiographReader, is_nifti, match_grid
from transforms.files.atomic import atomic_path
from transforms.files.dicom import open_dicom
from transforms.files.nifti import open_nifti, voxels
from transforms.files.picture import is_picture, stored_values


def series_files(folder: Path) -> list[Path]:
    """The files of a radiograph or CT, the slices of the latter in the order of their positions.

    Raises:
        DataError: if it is neither one radiograph nor a CT that :class:`CTReader` takes.
    """
    files = sorted(folder.iterdir())
    if open_dicom(files[0], stop_before_pixels=True).get("Modality") == "CT":
        return list(CTReader().open(folder).files)
    if len(files) != 1:
        raise DataError(
            f"{folder}: the series holds {len(files)} radiographs. MONAI Label takes a series for an image."
        )
    return files


def series_to_nifti(folder: Path, path: Path) -> None:
    """Write a series as NIfTI: a radiograph's display values, 0 to 1, of shape (x, y, 1), or a CT in HU, (x, y, z).

    Raises:
        DataError: as :func:`series_files`, or as the readers.
    """
    files = series_files(folder)
    reader = RadiographReader("pixels") if len(files) == 1 else CTReader()
    image = LoadImage(reader=reader, image_only=True)(files)
    array = np.atleast_3d(np.asarray(image, np.float32))
    with atomic_path(path) as scratch:
        nibabel.save(nibabel.Nifti1Image(array, np.asarray(image.affine, float)), scratch)


def on_grid(path: os.PathLike | str, image: nibabel.Nifti1Image) -> np.ndarray:
    """Read a label from any file that ITK or nibabel reads, onto its image's grid.

    NIfTI and PNG files, which clients send, are decoded by another process; ITK reads the rest in this one.

    Returns:
        uint8 of the shape of ``image``, which has three axes.

    Raises:
        DataError: if it is on another grid.
    """
    values, affine = _label(Path(path))
    array = values.astype(np.uint8)
    if not np.array_equal(array, values):
        raise DataError(f"{Path(path).name}: holds values that are not whole numbers from 0 to 255.")
    if array.ndim == 2:  # of a picture, or of NIfTI that has lost its third axis
        array = array[..., None]
        if array.shape != image.shape:
            raise DataError(f"{Path(path).name}: is of {array.shape[:2]} pixels, its image of {image.shape[:2]}.")
        return array
    axes, flipped = match_grid(affine, array.shape, image.affine, image.shape, "the label")
    return np.flip(array.transpose(axes), tuple(np.flatnonzero(flipped).tolist()))


def _label(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The values of a label, of shape (x, y) or (x, y, z), and its affine."""
    if is_nifti(path):
        image = open_nifti(path)
        return voxels(image, path), np.asarray(image.affine, float)
    if is_picture(path):
        return stored_values(path).T, np.eye(4)
    label = LoadImage(image_only=True)(path)
    return np.asarray(label), np.asarray(label.affine, float)
