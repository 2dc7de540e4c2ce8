"""Labels as colours over slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from transforms import CLASS_COLOURS, OutputLayout, SaveVolumeOverlayd, class_overlay


def test_overlays_show_classes_in_their_colours(tmp_path):
    labels = np.zeros((9, 9), np.uint8)
    labels[2:7, 2:7] = 2
    picture = class_overlay(np.full((9, 9), 0.5), labels)
    blue = [int(CLASS_COLOURS[1][i : i + 2], 16) for i in (1, 3, 5)]
    assert picture[2, 2].tolist() == blue and picture[0, 0].tolist() == [128, 128, 128]  # edge, and outside
    assert picture[4, 4].tolist() == pytest.approx([0.65 * 127.5 + 0.35 * value for value in blue], abs=1)
    volume = MetaTensor(torch.zeros(1, 6, 8, 30), meta={"filename_or_obj": str(tmp_path / "in" / "a.nii.gz")})
    volume[0, 1:3, 2:5, 10:14] = 1
    layout = OutputLayout(tmp_path / "out", tmp_path / "in", "overlay")
    SaveVolumeOverlayd("pred", layout)({"image": torch.full((1, 6, 8, 30), 0.5), "pred": volume})
    (path,) = (tmp_path / "out").iterdir()
    montage = np.asarray(Image.open(path))
    assert montage.shape == (8, 4 * 6, 3)  # the four slices with a label, in a row, rows downwards
    assert montage[2, 1].tolist() == montage[2, 19].tolist() == [0xD5, 0x5E, 0]
