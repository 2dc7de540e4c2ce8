"""Pictures of masks over their images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage
from PIL import Image

from transforms import OutputLayout, RadiographReader, SaveOverlayd, overlay
from transforms.outputs.overlay import shrunk


def made(image, mask, size):
    """An overlay of pictures, (rows, columns)."""
    image, mask = shrunk(torch.from_numpy(image.T)[None], mask.T, size)
    return overlay(image.T, mask.T)


def test_overlay_marks_the_mask_and_nothing_else():
    image, mask = np.full((40, 60), 0.5, np.float32), np.zeros((40, 60), bool)
    mask[10:20, 30:50] = True
    picture = overlay(image, mask)
    assert picture.shape == (40, 60, 3) and picture.dtype == np.uint8
    changed = (picture != 128).any(axis=2)
    np.testing.assert_array_equal(changed, mask)
    assert tuple(picture[10, 30]) == (255, 127, 14)  # the edge
    assert tuple(picture[15, 40]) == (160, 128, 100)  # inside: three quarters of 128 and one of the colour, rounded


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((300, 400), 100, (75, 100)),
        ((400, 300), 100, (100, 75)),
        ((333, 500), 100, (67, 100)),
        ((90, 100), 100, (90, 100)),  # not made larger
        ((7, 5000), 100, (1, 100)),
        ((300, 400), None, (300, 400)),
    ],
)
def test_the_longer_side_has_at_most_so_many_pixels(shape, size, expected):
    """The aspect stays, and the mask stays where it lies in the image."""
    image, mask = np.full(shape, 0.4, np.float32), np.zeros(shape, np.uint8)
    mask[shape[0] // 3 :, shape[1] // 2 :] = 1
    for order in (np.ascontiguousarray, np.asfortranarray):  # of the memory, as readers give it and as pictures are
        picture = made(order(image), order(mask), size)
        assert picture.shape == (*expected, 3)
        rows, columns = np.nonzero((picture != 102).any(axis=2))
        ends = rows.min() / expected[0], columns.min() / expected[1]
        assert np.abs(np.array(ends) - (1 / 3, 1 / 2)).max() < 1 / min(expected) + 1e-9 or expected[0] == 1


@pytest.mark.parametrize("size", [300, 250])
def test_what_is_made_smaller_has_the_means_of_its_pixels(size):
    """Against Pillow, on noise, where single pixels would differ by as much as the noise."""
    image = np.random.default_rng(1).random((600, 900)).astype(np.float32)
    picture = made(image, np.zeros(image.shape, np.uint8), size)[..., 0]
    expected = np.asarray(Image.fromarray(image).resize(picture.shape[::-1], Image.Resampling.BILINEAR)) * 255
    assert np.abs(picture - expected).max() <= 0.51 and picture.std() < image.std() * 255 / 2


def test_integers_are_shown_as_the_values_that_they_mean(write_dicom):
    """Of a radiograph that is stored the other way round, as it is and made smaller."""
    ramp = np.add.outer(np.arange(24), np.arange(32)).astype(np.uint8) * 4
    path = write_dicom(ramp, PhotometricInterpretation="MONOCHROME1")
    for indexed in (True, False):
        load = LoadImage(RadiographReader(indexed=indexed), dtype=None, image_only=True, ensure_channel_first=True)
        for size, expected in ((None, 255 - ramp), (32, 255 - ramp), (16, None)):
            image, mask = shrunk(load(path), np.zeros((32, 24), np.uint8), size)
            picture = overlay(image.T, mask.T)[..., 0]
            if expected is None:
                assert (
                    picture.shape == (12, 16)
                    and np.abs(picture[1:-1, 1:-1] - (255.0 - ramp)[2:-2:2, 2:-2:2] + 4).max() <= 1
                )
            else:
                assert np.array_equal(picture, expected)


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
