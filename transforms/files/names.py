"""How files are named: images by what they are, outputs after their images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from monai.data import FolderLayoutBase

IMAGE_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".nii", ".nii.gz")


def image_name(path: os.PathLike | str) -> str:
    """The name of an image's file without what is known to be an extension: a UID keeps its last component."""
    name = Path(path).name
    return name[: len(name) - len(image_suffix(name))]


def image_suffix(name: str) -> str:
    """What readers go by, in small letters; what else follows a point may be part of a name."""
    return max((suffix for suffix in IMAGE_SUFFIXES if name.lower().endswith(suffix)), key=len, default="")


class OutputLayout(FolderLayoutBase):
    """Names outputs after their inputs: ``SUB/NAME.dcm`` becomes ``OUTPUT/SUB/NAME_POSTFIX.png``.

    MONAI's own layout takes what follows the last point for an extension, so that of files named by a UID without
    extension, as archives export them, several would get one name.

    Args:
        output_dir: where outputs go.
        input_dir: the folder whose structure is kept.
        postfix: follows the input's name.
        suffix: of the output file.
    """

    def __init__(self, output_dir: os.PathLike | str, input_dir: os.PathLike | str, postfix: str, suffix: str = ".png"):
        self.output_dir = Path(output_dir)
        self.input_dir = Path(input_dir)
        self.postfix = postfix
        self.suffix = suffix

    def filename(self, subject: os.PathLike | str, **kwargs: Any) -> str:  # type: ignore[override]  # as MONAI's own
        path, root = (Path(os.path.abspath(p)) for p in (subject, self.input_dir))  # a link keeps its own name
        folder = path.parent.relative_to(root) if path.parent.is_relative_to(root) else Path()
        return str(self.output_dir / folder / f"{image_name(path)}_{self.postfix}{self.suffix}")
