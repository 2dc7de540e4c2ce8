"""What inference leaves on disk beside the masks that MONAI saves: where, under which names, and overlays."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import FolderLayoutBase
from monai.transforms import MapTransform, SaveImage
from monai.utils import MetaKeys
from PIL import Image
from scipy.ndimage import binary_erosion

from .atomic_files import atomic_path
from .errors import DataError

IMAGE_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".nii", ".nii.gz")
COLOUR = np.array([255, 127, 14], np.float32)


def check_writable(folders: Sequence[os.PathLike | str]) -> None:
    """Make folders where missing and write a file into each, before hours are spent.

    Raises:
        DataError: with the folder that cannot be written to.
    """
    for folder in folders:
        try:
            os.makedirs(folder, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise DataError(
                f"{folder}: cannot be written to ({error.strerror}). Give another folder, or correct its permissions."
            ) from error


def image_name(path: os.PathLike | str) -> str:
    """The name of an image's file without what is known to be an extension: a UID keeps its last component."""
    name = Path(path).name
    ending = max((suffix for suffix in IMAGE_SUFFIXES if name.lower().endswith(suffix)), key=len, default="")
    return name[: len(name) - len(ending)]


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

    def filename(self, subject: os.PathLike | str, **kwargs: Any) -> str:
        path = Path(subject).resolve()
        root = self.input_dir.resolve()
        folder = path.parent.relative_to(root) if path.parent.is_relative_to(root) else Path()
        return str(self.output_dir / folder / f"{image_name(path)}_{self.postfix}{self.suffix}")


class AsInFiled(MapTransform):
    """Gives each mask the axes of its image's file: without a channel, and (x, y, 1) where the file has three axes.

    MONAI Label writes masks with the axes that they have: with a channel, those of pictures would be one pixel wide,
    and without the third axis, those of NIfTI files would lose their place. What is in another grid passes unchanged.

    Args:
        keys: masks of shape (1, x, y).
        image_key: their image, a MetaTensor as :class:`RadiographReader` read it. Its ``spatial_shape`` becomes that of
            the file, since MONAI Label would resize a mask of another shape.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image"):
        super().__init__(keys)
        self.image_key = image_key

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        d = dict(data)
        meta = d[self.image_key].meta
        shape = tuple(int(length) for length in meta["file_shape"])
        for key in self.key_iterator(d):
            if d[key].shape[1:] == shape[:2]:
                d[key] = d[key].reshape(shape)
                meta[MetaKeys.SPATIAL_SHAPE] = np.asarray(shape)
        return d


class SaveFiled(MapTransform):
    """Base of what writes a file for an image: names it, and notes its path in ``data["written"]``.

    Args:
        keys: MetaTensors that know the file of their image.
        layout: gives the name of each file.
    """

    def __init__(self, keys: KeysCollection, layout: OutputLayout):
        super().__init__(keys)
        self.layout = layout

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            path = Path(self.layout.filename(subject=d[key].meta["filename_or_obj"]))
            path.parent.mkdir(parents=True, exist_ok=True)
            self.write(d, key, path)
            d["written"] = [*d.get("written", ()), path]
        return d

    def write(self, data: dict[str, Any], key: str, path: Path) -> None:
        """Write ``data[key]`` to ``path``, which appears once it is complete."""
        raise NotImplementedError


class SaveMaskd(SaveFiled):
    """Writes masks in their image's own grid, by MONAI's writers: as PNG, 0 and 255, or as NIfTI.

    Args:
        keys: masks of shape (1, x, y), 0 or 1, or labels of shape (1, x, y, z), MetaTensors that know the file of
            their image.
        layout: gives the name of each file; its suffix, ``.png`` or ``.nii.gz``, says the format.
    """

    def __init__(self, keys: KeysCollection, layout: OutputLayout):
        super().__init__(keys, layout)
        picture = layout.suffix == ".png"
        self.saver = SaveImage(
            output_ext=layout.suffix,
            output_dtype=np.uint8,
            writer="PILWriter" if picture else "NibabelWriter",
            scale=255 if picture else None,
            resample=False,
            print_log=False,
        )

    def write(self, data: dict[str, Any], key: str, path: Path) -> None:
        with atomic_path(path) as scratch:
            self.saver(data[key], filename=str(scratch).removesuffix(self.layout.suffix))


class SaveOverlayd(SaveFiled):
    """Writes each mask laid over its image as a PNG in the image's own grid: a tint inside, a line at the edge.

    Args:
        keys: masks of shape (1, x, y), 0 or 1, MetaTensors that know the file of their image.
        layout: gives the name of each picture.
        image_key: the image in the same grid, (1, x, y), 0 black to 1 white.
    """

    def __init__(self, keys: KeysCollection, layout: OutputLayout, image_key: str):
        super().__init__(keys, layout)
        self.image_key = image_key

    def write(self, data: dict[str, Any], key: str, path: Path) -> None:
        image, mask = (np.asarray(data[name][0].cpu()).T for name in (self.image_key, key))
        save_png(overlay(image, mask > 0), path)


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Lay a mask over an image.

    Args:
        image: (rows, columns), 0 black to 1 white.
        mask: boolean, of the same shape.

    Returns:
        uint8 of shape (rows, columns, 3).
    """
    picture = np.repeat(image[..., None] * 255, 3, axis=2)
    edge = mask & ~binary_erosion(mask, iterations=max(1, round(max(mask.shape) / 400)), border_value=1)
    picture[mask] = 0.75 * picture[mask] + 0.25 * COLOUR
    picture[edge] = COLOUR
    return np.clip(picture, 0, 255).round().astype(np.uint8)


def save_png(picture: np.ndarray, path: os.PathLike | str) -> None:
    """Write a picture, uint8 of shape (rows, columns, 3), atomically."""
    with atomic_path(path) as scratch:
        Image.fromarray(picture).save(scratch, format="png")
