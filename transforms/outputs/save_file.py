"""What every transform that writes a file for an image has in common, and the writer of masks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform, SaveImage

from ..files.atomic import atomic_path
from ..files.names import OutputLayout
from .png import save_png


class SaveFiled(MapTransform):
    """Base of what writes a file for an image: names it, and notes its path in ``data["written"]``.

    Args:
        keys: MetaTensors that know the file of their image.
        layout: gives the name of each file.
    """

    def __init__(self, keys: KeysCollection, layout: OutputLayout):
        super().__init__(keys)
        self.layout = layout

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            path = Path(self.layout.filename(subject=d[key].meta["filename_or_obj"]))
            path.parent.mkdir(parents=True, exist_ok=True)
            self.write(d, key, path)
            d["written"] = [*d.get("written", ()), path]
        return d

    def write(self, data: Mapping[Hashable, Any], key: Hashable, path: Path) -> None:
        """Write ``data[key]`` to ``path``, which appears once it is complete."""
        raise NotImplementedError


class SaveMaskd(SaveFiled):
    """Writes masks in their image's own grid: as PNG of 8 bits, 0 and 255, or as NIfTI by MONAI's writer.

    Args:
        keys: masks of shape (1, x, y), 0 or 1, or labels of shape (1, x, y, z), MetaTensors that know the file of
            their image.
        layout: gives the name of each file; its suffix, ``.png`` or ``.nii.gz``, says the format.

    Raises:
        ValueError: if a mask has several channels, or too many axes for a picture.
    """

    def __init__(self, keys: KeysCollection, layout: OutputLayout):
        super().__init__(keys, layout)
        self.saver = SaveImage(
            output_ext=layout.suffix, output_dtype=np.uint8, writer="NibabelWriter", resample=False, print_log=False
        )

    def write(self, data: Mapping[Hashable, Any], key: Hashable, path: Path) -> None:
        if len(data[key]) != 1:
            raise ValueError(f"a mask has one channel, not {len(data[key])}.")
        if self.layout.suffix == ".png":
            save_png((np.asarray(data[key][0].cpu()).T > 0) * np.uint8(255), path)
            return
        with atomic_path(path) as scratch:
            self.saver(data[key], filename=str(scratch).removesuffix(self.layout.suffix))
