"""Masks must be drawn on their image."""

from __future__ import annotations

import numpy as np
import pytest
from monai.transforms import LoadImage
from PIL import Image

from transforms import CheckSameGridd, DataError, MaskReader, RadiographReader

LEFT = np.array([[0, 127, 128], [255, 0, 0]], np.uint8)  # (rows, columns)


def save(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def test_mask_of_another_size_than_its_image(tmp_path):
    image = LoadImage(reader=RadiographReader("pixels"), image_only=True, ensure_channel_first=True)
    mask = LoadImage(reader=MaskReader(), image_only=True, ensure_channel_first=True)
    item = {"image": image(save(tmp_path / "i.png", LEFT)), "label": mask(save(tmp_path / "m.png", LEFT))}
    assert CheckSameGridd()(item)["label"].meta["filename_or_obj"].endswith("i.png")
    item["label"] = mask(save(tmp_path / "m.png", LEFT[:, :2]))
    with pytest.raises(DataError, match=r"m.png: the mask has \(2, 2\) .*, its image .*i.png has \(3, 2\)"):
        CheckSameGridd()(item)
