"""PNG files as other programs read them."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from monai.data import PILReader
from PIL import Image

from transforms import DataError
from transforms.outputs.png import save_png


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (300, 1), (1, 300), (5, 7, 3), (1, 1, 3), (400, 333, 3)])
def test_pictures_are_read_as_they_were_written(tmp_path, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    save_png(picture, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as opened:
        opened.verify()  # the checksums
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), picture)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "a.png")), picture)


def test_memory_may_lie_in_any_order(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (3, 7, 5), np.uint8).T
    save_png(picture, tmp_path / "a.png")
    save_png(picture[..., 1], tmp_path / "b.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), picture)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), picture[..., 1])


def test_masks_are_0_and_255_for_monai_s_readers_too(tmp_path):
    """MONAI's reader of pictures gives those of 1 bit as 0 and 1: ours have 8."""
    mask = np.zeros((6, 4), np.uint8)
    mask[2:5, 1:3] = 255
    save_png(mask, tmp_path / "a.png")
    reader = PILReader()
    assert np.array_equal(reader.get_data(reader.read(tmp_path / "a.png"))[0].T, mask)


def test_they_appear_whole_whatever_their_names(tmp_path):
    picture = np.zeros((5, 7, 3), np.uint8)
    for name in ("a.png", "1.2.840.7"):
        save_png(picture, tmp_path / "sub" / name)
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == ["1.2.840.7", "a.png"]
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        save_png(picture, tmp_path / "file" / "a.png")


@pytest.mark.parametrize("picture", [np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2), np.uint8)])
def test_what_is_no_picture_is_refused(tmp_path, picture):
    with pytest.raises(ValueError, match="one or three channels"):
        save_png(picture, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
