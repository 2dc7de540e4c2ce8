"""Pictures of masks over their images."""

from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor
from PIL import Image

from transforms import OutputLayout, SaveOverlayd, overlay
from transforms.outputs.overlay import save_png


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


def test_the_line_is_as_wide_as_large_pictures_need_and_none_is_drawn_at_their_border():
    mask = np.zeros((40, 1000), bool)
    mask[:, 500:] = True  # up to the border on three sides
    picture = overlay(np.full(mask.shape, 0.5, np.float32), mask)
    line = (picture == (255, 127, 14)).all(axis=2)
    assert line[:, 500:502].all() and line.sum() == 2 * 40  # 1000 pixels over 400, rounded
    assert not (overlay(np.zeros((9, 9)), np.ones((9, 9), bool)) == (255, 127, 14)).all(axis=2).any()


def test_values_beyond_white_and_black_are_clipped():
    picture = overlay(np.array([[-0.5, 0.0, 1.0, 7.0]]), np.zeros((1, 4), bool))
    assert picture[0].tolist() == [[0] * 3, [0] * 3, [255] * 3, [255] * 3]


def test_pictures_are_written_whole_whatever_their_names(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    for name in ("a.png", "1.2.840.7"):
        save_png(picture, tmp_path / "sub" / name)
        assert np.array_equal(np.asarray(Image.open(tmp_path / "sub" / name)), picture)
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == ["1.2.840.7", "a.png"]
