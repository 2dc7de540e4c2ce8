"""Pictures of masks over their images."""

from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor
from PIL import Image

from transforms import OutputLayout, SaveOverlayd, overlay


def test_overlay_marks_the_mask_and_nothing_else():
    image, mask = np.full((40, 60), 0.5, np.float32), np.zeros((40, 60), bool)
    mask[10:20, 30:50] = True
    picture = overlay(image, mask)
    assert picture.shape == (40, 60, 3) and picture.dtype == np.uint8
    changed = (picture != 128).any(axis=2)
    np.testing.assert_array_equal(changed, mask)
    assert tuple(picture[10, 30]) == (255, 127, 14)  # the edge
    assert tuple(picture[15, 40]) == (159, 127, 99)  # inside: three quarters of 127.5 and one of the colour


def test_overlay_is_saved_in_the_image_s_own_grid(tmp_path):
    mask = MetaTensor(torch.zeros(1, 30, 20), meta={"filename_or_obj": str(tmp_path / "in" / "x.dcm")})
    mask[0, 22:26, 3:8] = 1  # columns 22 to 25, rows 3 to 7
    layout = OutputLayout(tmp_path / "out", tmp_path / "in", "overlay")
    data = {"mask": mask, "shown": torch.full((1, 30, 20), 0.4)}
    written = SaveOverlayd("mask", layout, image_key="shown")(data)["written"]
    assert written == [tmp_path / "out" / "x_overlay.png"]
    picture = np.asarray(Image.open(written[0]))
    assert picture.shape == (20, 30, 3)
    coloured = np.argwhere(picture[..., 0] != picture[..., 2])
    assert coloured.min(axis=0).tolist() == [3, 22] and coloured.max(axis=0).tolist() == [7, 25]
