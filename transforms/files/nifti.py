"""Opens NIfTI files, with errors that name the file. What their values mean is for the readers to know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import nibabel
import numpy as np

from ..errors import DataError

NIFTI_SUFFIXES = (".nii", ".nii.gz")


def is_nifti(path: os.PathLike | str) -> bool:
    """Whether a name is that of a NIfTI file."""
    return str(path).lower().endswith(NIFTI_SUFFIXES)


def open_nifti(path: Path) -> nibabel.Nifti1Image:
    """Open a file without reading its voxels.

    Raises:
        DataError: if it is damaged.
    """
    try:
        return cast(nibabel.Nifti1Image, nibabel.load(path))  # NIfTI-2 is a kind of it
    except Exception as error:  # nibabel, gzip and zlib each raise their own
        raise DataError(f"{path}: cannot be read as NIfTI, it may be cut short ({error}). Copy it again.") from error


def voxels(image: nibabel.Nifti1Image, path: Path) -> np.ndarray:
    """Read the voxels as float32, in the shape that the file has.

    Raises:
        DataError: if the file is cut short, or holds a value that is not a number.
    """
    try:
        values = np.asarray(image.dataobj, np.float32)
    except Exception as error:  # nibabel, gzip and zlib each raise their own
        raise DataError(f"{path}: its voxels cannot be read, it may be cut short ({error}). Copy it again.") from error
    if not np.isfinite(values).all():
        raise DataError(f"{path}: holds voxels that are not a number. Convert it again from its source.")
    return values


def plane_of(image: nibabel.Nifti1Image, path: Path) -> tuple[int, int]:
    """The (columns, rows) of a file that holds one slice, stored as it is shown.

    That is as in DICOM, and in what is converted from it: the first axis to the patient's left or to posterior, the
    second to posterior or inferior.

    Raises:
        DataError: if it holds more, or its affine says that it is stored otherwise, as upside down.
    """
    shape = image.shape
    towards = nibabel.aff2axcodes(image.affine)[:2]
    if towards[0] not in ("L", "P") or towards[1] not in ("P", "I"):
        raise DataError(
            f"{path}: its first two axes run towards {towards[0]} and {towards[1]} by its affine, so it is not stored "
            "as it is shown: to L or P (from left to right on the picture), and to P or I (from top to bottom). Flip "
            "it, as with SimpleITK.DICOMOrient, or correct its affine."
        )
    if len(shape) < 2 or any(length != 1 for length in shape[2:]):
        raise DataError(f"{path}: has the shape {shape}; a radiograph has two axes. Leave it out, or give one slice.")
    return shape[0], shape[1]
