"""Finds the CTs in a tree of mixed files: folders that hold a DICOM series, and NIfTI files."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel

from .ct_reader import CTReader
from .errors import DataError
from .keep_usable import keep_usable
from .nifti_files import is_nifti


def find_ct_series(folder: os.PathLike | str, reader: CTReader) -> list[dict[str, str]]:
    """List the CTs at or below a folder as a MONAI datalist, sorted by path.

    Reads headers only. A folder whose series the reader would refuse, or that holds several, is left out, as is a
    NIfTI file that cannot be a CT; the log says which and why.

    Returns:
        ``[{"image": path}, ...]``: the path of a folder for a DICOM series, of a file for NIfTI.

    Raises:
        DataError: if the folder is missing or holds no CT.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder. Give a folder of CT with --dataset_dir.")
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    niftis = [path for path in files if is_nifti(path)]
    candidates = sorted({path.parent for path in files if not is_nifti(path)} | set(niftis))

    def why_not(path: Path) -> str | None:
        reader.open(path)
        return no_hounsfield(path) if is_nifti(path) else None

    nothing = (
        f"{root}: no CT in it: none of the folders holds one DICOM series, nor is there a NIfTI file that can be used. "
        "Give a folder of CT with --dataset_dir."
    )
    return keep_usable(candidates, why_not, nothing)


def no_hounsfield(path: Path) -> str | None:
    """What speaks against a NIfTI file being a CT, or None."""
    if nibabel.load(path).get_data_dtype().itemsize == 1:
        return "its voxels have 8 bits, which cannot hold Hounsfield units: it may be a segmentation"
    return None
