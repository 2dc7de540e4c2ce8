"""Finds the radiographs in a folder of mixed files, by what the files say and not by their names."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from .errors import DataError

MODALITIES = ("CR", "DX", "RG")  # computed, digital and film radiography: PS3.3 C.7.3.1.1.1

logger = logging.getLogger(__name__)


def find_radiographs(folder: os.PathLike | str) -> list[dict[str, str]]:
    """List the radiographs below a folder as a MONAI datalist, sorted by path.

    Reads each header once. What is no radiograph is left out, and the log says which file and why.

    Returns:
        ``[{"image": path}, ...]``

    Raises:
        DataError: if the folder is missing or holds no radiograph.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder. Give a folder of DICOM radiographs with --dataset_dir.")
    paths = sorted(p for p in root.rglob("*") if p.is_file())
    with ThreadPoolExecutor() as pool:
        reasons = list(pool.map(_why_not, paths))
    left_out = [f"  {path}: {reason}" for path, reason in zip(paths, reasons) if reason]
    if left_out:
        logger.warning("left out %d of %d files:\n%s", len(left_out), len(paths), "\n".join(left_out))
    found = [{"image": str(path)} for path, reason in zip(paths, reasons) if reason is None]
    if not found:
        raise DataError(
            f"{root}: none of its {len(paths)} files is a DICOM radiograph of modality {', '.join(MODALITIES)}. "
            "Give a folder of DICOM radiographs with --dataset_dir."
        )
    return found


def _why_not(path: Path) -> str | None:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality", "NumberOfFrames"])
    except InvalidDicomError:
        return "not a DICOM file"
    except Exception as error:  # a damaged header fails in many ways, and one bad file must not end the search
        return f"cannot be read as DICOM ({error})"
    if header.get("Modality") not in MODALITIES:
        return f"its Modality (0008,0060) is {header.get('Modality') or 'missing'}, not one of {', '.join(MODALITIES)}"
    if int(header.get("NumberOfFrames") or 1) != 1:
        return f"it has {header.NumberOfFrames} frames (0028,0008)"
    return None
