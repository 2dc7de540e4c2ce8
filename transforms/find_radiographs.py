"""Finds the radiographs in a folder of mixed files, by what the files say and not by their names."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .errors import DataError
from .radiograph_reader import RadiographReader

MODALITIES = ("CR", "DX", "RG")  # computed, digital and film radiography: PS3.3 C.7.3.1.1.1

logger = logging.getLogger(__name__)


def find_radiographs(folder: os.PathLike | str, reader: RadiographReader) -> list[dict[str, str]]:
    """List the radiographs below a folder as a MONAI datalist, sorted by path.

    Reads each file once, without decoding its pixels. What is no radiograph, or one that the reader would refuse, is
    left out, and the log says which file and why.

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
        reasons = list(pool.map(lambda path: _why_not(path, reader), paths))
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


def _why_not(path: Path, reader: RadiographReader) -> str | None:
    try:
        dataset, _ = reader.open(path)
    except DataError as error:
        return str(error).removeprefix(f"{path}: ")
    if dataset.get("Modality") not in MODALITIES:
        return f"its Modality (0008,0060) is {dataset.get('Modality') or 'missing'}, not one of {', '.join(MODALITIES)}"
    return None
