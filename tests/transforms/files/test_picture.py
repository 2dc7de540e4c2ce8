"""Grey values of PNG and JPEG files, as a viewer shows them."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from transforms import DataError
from transforms.files.picture import grey_values, is_picture, open_picture, stored_values


def save(path, pixels, **options):
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(path, **options)
    return path


def shown(path):
    """The values of a file, of shape (rows, columns)."""
    return grey_values(path)


def test_pictures_are_told_by_how_they_begin(tmp_path):
    pixels = np.zeros((4, 6), np.uint8)
    png, jpeg = tmp_path / "1.2.3", tmp_path / "image.dcm"
    save(png, pixels, format="png")
    save(jpeg, pixels, format="jpeg")
    (tmp_path / "page.png").write_text("<html>")
    (tmp_path / "empty.png").touch()
    names = ("1.2.3", "image.dcm", "page.png", "empty.png")
    assert [is_picture(tmp_path / name) for name in names] == [True, True, False, False]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool])
def test_the_range_of_the_bits_becomes_0_to_1(tmp_path, dtype):
    top = 1 if dtype is bool else np.iinfo(dtype).max
    pixels = np.array([[0, top // 3, top]]).astype(dtype)
    values = shown(save(tmp_path / "a.png", pixels))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, [[0, (top // 3) / top, 1]], atol=1e-6)


def test_colour_is_luminance_and_transparency_is_black(tmp_path):
    colours = np.zeros((1, 3, 3), np.uint8)
    colours[0] = [[255, 0, 0], [0, 255, 0], [60, 60, 60]]
    expected = [[0.299, 0.587, 60 / 255]]  # ITU-R BT.601
    np.testing.assert_allclose(shown(save(tmp_path / "rgb.png", colours)), expected, atol=0.003)
    alpha = np.dstack([colours, np.array([[255, 255, 0]], np.uint8)])
    np.testing.assert_allclose(shown(save(tmp_path / "a.png", alpha)), [[0.299, 0.587, 0]], atol=0.003)
    half = np.array([[[200, 255], [200, 51]]], np.uint8)  # grey and how opaque it is: 51 is a fifth
    np.testing.assert_allclose(shown(save(tmp_path / "la.png", half)), [[200 / 255, 40 / 255]], atol=0.003)


def test_palettes_are_looked_up_and_their_transparent_colour_is_black(tmp_path):
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8), mode="P")
    picture.putpalette([10, 10, 10, 100, 100, 100, 250, 250, 250])
    np.testing.assert_allclose(shown(save(tmp_path / "p.png", picture)), np.array([[10, 100, 250]]) / 255, atol=1e-6)
    path = save(tmp_path / "t.png", picture, transparency=2)
    np.testing.assert_allclose(shown(path), np.array([[10, 100, 0]]) / 255, atol=1e-6)


def test_jpeg_is_turned_as_its_exif_says(tmp_path):
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer turns it by 90 degrees clockwise
    turned = shown(save(tmp_path / "turned.jpeg", pixels, exif=exif))
    assert turned.shape == (32, 16) and turned[:, 8:].min() > 0.9 and turned[:, :8].max() < 0.1


def test_stored_values_are_neither_turned_nor_looked_up(tmp_path):
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8), mode="P")
    picture.putpalette([10, 10, 10, 100, 100, 100, 250, 250, 250])
    assert stored_values(save(tmp_path / "p.png", picture)).tolist() == [[0, 1, 2]]
    exif = Image.Exif()
    exif[0x0112] = 6
    assert stored_values(save(tmp_path / "t.png", np.zeros((2, 3), np.uint8), exif=exif)).shape == (2, 3)
    assert stored_values(save(tmp_path / "c.png", np.zeros((2, 3, 3), np.uint8))).shape == (2, 3, 3)


def png_of(width, height):
    """The beginning of a PNG file, which says its size."""
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [ihdr, b"IDAT" + zlib.compress(bytes(1000))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


def test_pictures_that_say_they_are_huge_are_not_decoded(tmp_path):
    (tmp_path / "huge.png").write_bytes(png_of(13_300, 13_300))
    with pytest.raises(DataError, match=r"huge.png: has 13300 x 13300 pixels, 176.9 megapixels; at most 100 are read"):
        shown(tmp_path / "huge.png")
    path = save(tmp_path / "huge.jpg", np.zeros((16, 16), np.uint8))
    frame = path.read_bytes().index(b"\xff\xc0")
    path.write_bytes(
        path.read_bytes()[: frame + 5] + struct.pack(">HH", 40_000, 40_000) + path.read_bytes()[frame + 9 :]
    )
    with pytest.raises(DataError, match=r"huge.jpg: has 40000 x 40000 pixels, 1600 megapixels"):
        open_picture(path)


def test_damaged_pictures_are_named(tmp_path):
    (tmp_path / "head.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    with pytest.raises(DataError, match="head.png: cannot be read as PNG or JPEG"):
        open_picture(tmp_path / "head.png")
    path = save(tmp_path / "cut.png", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="cut.png: cannot be decoded, it may be damaged"):
        shown(path)
