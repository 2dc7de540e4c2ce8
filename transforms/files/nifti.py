"""Reads NIfTI files, with errors that name the file. What their values mean is for the readers to know."""

from __future__ import annotations

import gzip
import math
import os
from pathlib import Path

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from ..errors import DataError
from .bounds import check_regular, check_size
from .worker import GB, LIMITS, Limits, UndecodableError, decoded

NIFTI_SUFFIXES = (".nii", ".nii.gz")
HEADER_BYTES = 540  # of NIfTI-2; NIfTI-1 has fewer


def is_nifti(path: os.PathLike | str) -> bool:
    """Whether a name is that of a NIfTI file."""
    return str(path).lower().endswith(NIFTI_SUFFIXES)


def open_nifti(path: Path) -> nibabel.Nifti1Image:
    """Open a file (of NIfTI-2 too), without reading more of it than its header.

    Raises:
        DataError: if it is no regular file, or damaged.
    """
    check_regular(path)
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else open(path, "rb") as file:
            block = file.read(HEADER_BYTES)
        for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):  # the second is a kind of the first
            if kind.header_class.may_contain_header(block):
                header = kind.header_class(block[: kind.header_class.template_dtype.itemsize])
                if min(header.get_data_shape(), default=0) < 1:
                    raise ValueError(f"its shape is {header.get_data_shape()}")
                affine = header.get_best_affine()
                if not np.isfinite(affine).all():
                    raise DataError(f"{path}: its affine is no place in millimetres. Convert it again.")
                # nibabel.load would read extensions, which may be of any length
                return kind(ArrayProxy(path, header), affine, header)
        raise ValueError("it does not begin as such a file" if block else "it is empty")
    except DataError:
        raise
    except Exception as error:  # nibabel, gzip and zlib each raise their own
        raise DataError(f"{path}: cannot be read as NIfTI, it may be cut short ({error}). Copy it again.") from error


def voxels(image: nibabel.Nifti1Image, path: Path, limits: Limits = LIMITS) -> np.ndarray:
    """Read the voxels as float32, in the shape that the file has, by another process: see :func:`worker.decoded`.

    Raises:
        DataError: if the file is cut short, holds a value that is not a number, or does what ``limits`` do not allow:
            as float32 the voxels must fit into the memory.
    """
    shape = tuple(int(length) for length in image.shape)
    if 4 * math.prod(shape) > limits.memory:
        raise DataError(
            f"{path}: has {' x '.join(map(str, shape))} voxels, {4 * math.prod(shape) / GB:.4g} GB; the reader's "
            f"memory_gb is {limits.memory_gb:g}. Leave it out, or allow more."
        )
    try:
        values = decoded(path, "nifti", [shape], limits)
    except UndecodableError as error:
        message = f"{path}: its voxels cannot be read, it may be cut short ({error.reason}). Copy it again."
        raise DataError(message) from error
    if not np.isfinite(values).all():
        raise DataError(f"{path}: holds voxels that are not a number. Convert it again from its source.")
    return values


def plane_of(image: nibabel.Nifti1Image, path: Path) -> tuple[int, int]:
    """The (columns, rows) of a file that holds one slice, stored as it is shown.

    That is as in DICOM, and in what is converted from it: the first axis to the patient's left or to posterior, the
    second to posterior or inferior.

    Raises:
        DataError: if it holds more, or its affine says that it is stored otherwise, as upside down; or it is too large
            (:func:`bounds.check_size`).
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
    check_size(shape[1], shape[0], path)
    return shape[0], shape[1]
