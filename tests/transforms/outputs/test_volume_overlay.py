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


@pytest.mark.parametrize(
    ("labelled", "shown"),
    [
        (slice(0, 30), [29, 26, 24, 21, 18, 16, 13, 11, 8, 5, 3, 0]),  # 29 / 11 apart, rounded
        (slice(0, 0), [29, 26, 24, 21, 18, 16, 13, 11, 8, 5, 3, 0]),  # none: over the whole volume
        (slice(3, 9), [8, 7, 6, 5, 4, 3]),  # each once
        (slice(7, 8), [7]),
    ],
)
def test_slices_with_labels_are_spread_from_the_last_to_the_first(tmp_path, labelled, shown):
    columns, rows = 6, 8
    image = (torch.arange(30) / 51).expand(1, columns, rows, 30)  # the slice z is z * 5 of 255
    labels = MetaTensor(torch.zeros(1, columns, rows, 30), meta={"filename_or_obj": str(tmp_path / "in" / "a.nii")})
    labels[0, 0, 0, labelled] = 1  # one pixel, in the corner
    layout = OutputLayout(tmp_path / "out", tmp_path / "in", "overlay")
    (path,) = SaveVolumeOverlayd("pred", layout)({"image": image, "pred": labels})["written"]
    montage = np.asarray(Image.open(path))
    assert montage.shape == (-(-len(shown) // 4) * rows, 4 * columns, 3)
    tiles = montage.reshape(-1, rows, 4, columns, 3).swapaxes(1, 2).reshape(-1, rows, columns, 3)
    assert [int(tile[-1, -1, 0]) for tile in tiles] == [5 * z for z in shown] + [0] * (len(tiles) - len(shown))


def test_there_are_colours_for_any_number_of_classes():
    count = len(CLASS_COLOURS)
    labels = np.tile([1, count + 1], (9, 1))
    first, wrapped = class_overlay(np.zeros((9, 2)), labels)[4]
    assert first.tolist() == wrapped.tolist() == [0xD5, 0x5E, 0x00]
    assert len(set(CLASS_COLOURS)) == count
