"""Finds the radiographs in a folder of mixed files, by what the files say and not by their names."""

from __future__ import annotations

import os
from pathlib import Path

from pydicom.dataset import Dataset

from .errors import DataError
from .keep_usable import keep_usable
from .radiograph_reader import RadiographReader

MODALITIES = ("CR", "DX", "RG")  # computed, digital and film radiography: PS3.3 C.7.3.1.1.1


def find_radiographs(
    folder: os.PathLike | str, reader: RadiographReader, output_dir: os.PathLike | str | None = None
) -> list[dict[str, str]]:
    """List the radiographs below a folder as a MONAI datalist, sorted by path.

    Reads each file once, without decoding its pixels. What is no radiograph, or one that the reader would refuse, is
    left out, and the log says which file and why.

    Args:
        folder: is searched with all that is below it.
        reader: that will read them.
        output_dir: where masks and overlays go: what lies below it is no input.

    Returns:
        ``[{"image": path}, ...]``

    Raises:
        DataError: if the folder is missing or holds no radiograph.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder. Give a folder of DICOM radiographs with --dataset_dir.")
    outputs = Path(output_dir).resolve() if output_dir is not None else None
    paths = sorted(p for p in root.rglob("*") if p.is_file() and outputs not in p.resolve().parents)

    def why_not(path: Path) -> str | None:
        opened, _ = reader.open(path)
        return other_modality(opened) if isinstance(opened, Dataset) else None

    nothing = (
        f"{root}: none of its {len(paths)} files is a radiograph: DICOM of modality {', '.join(MODALITIES)}, PNG or "
        "JPEG. Give a folder of radiographs with --dataset_dir."
    )
    return keep_usable(paths, why_not, nothing)


def other_modality(header: Dataset) -> str | None:
    """What speaks against a header's modality being that of a radiograph, or None."""
    found = header.get("Modality") or "missing"
    return None if found in MODALITIES else f"its Modality (0008,0060) is {found}, not one of {', '.join(MODALITIES)}"
