"""Masks must be drawn on their image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
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


def test_mask_takes_the_place_of_its_image_and_keeps_its_values():
    affine = torch.diag(torch.tensor([-0.2, -0.4, 1, 1], dtype=torch.float64))
    image = MetaTensor(torch.zeros(1, 3, 2), affine=affine, meta={"filename_or_obj": "i.dcm"})
    values = torch.tensor([[[0, 1], [1, 0], [0, 1]]], dtype=torch.uint8)
    mask = MetaTensor(values, affine=torch.eye(4), meta={"filename_or_obj": "m.png"})
    item = CheckSameGridd(["left", "right"])({"image": image, "left": mask, "right": mask})
    for key in ("left", "right"):
        assert torch.equal(item[key].as_tensor(), values) and item[key].dtype == torch.uint8
        assert torch.equal(item[key].affine, affine)
    assert item["image"] is image and torch.equal(mask.affine, torch.eye(4))
    # columns and rows exchanged are as many pixels, and another grid
    with pytest.raises(DataError, match=r"m.png: the mask has \(2, 3\) .*, its image i.dcm has \(3, 2\)"):
        CheckSameGridd()({"image": image, "label": MetaTensor(values.mT, meta=mask.meta)})
