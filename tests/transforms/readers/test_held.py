"""Radiographs in memory: what the reader makes of them is what it makes of their files."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from transforms import DataError, HeldRadiograph, RadiographReader

PIXELS = np.arange(600, dtype=np.uint16).reshape(20, 30)


def read(image, indexed=False, **settings):
    reader = RadiographReader(indexed=indexed, **settings)
    return reader.get_data(reader.read([image]))


@pytest.mark.parametrize("indexed", [False, True])
def test_a_dataset_is_read_as_its_file(write_dicom, indexed):
    path = write_dicom(PIXELS, bits=12, WindowCenter=300, WindowWidth=200, PhotometricInterpretation="MONOCHROME1")
    for defer in (None, 100):
        held = HeldRadiograph(pydicom.dcmread(path, defer_size=defer), name="one")
        for mine, file in zip(read(held, indexed), read(path, indexed), strict=True):
            if isinstance(mine, dict):
                assert mine.keys() == file.keys()
                assert all(np.array_equal(mine[key], file[key]) for key in file)
            else:
                assert mine.shape == (30, 20) and np.array_equal(mine, file)
    assert str(held) == "one"


def test_an_array_is_columns_first_with_its_spacing_in_the_order_of_dicom():
    values, meta = read(HeldRadiograph(PIXELS * 100, (0.5, 0.2)))
    assert values.shape == (30, 20) and values[3, 7] == np.float32(PIXELS[7, 3] * 100 / 65535)
    assert np.allclose(np.diag(meta["affine"]), [-0.2, -0.5, 1, 1]) and meta["spacing_known"]
    values, meta = read(HeldRadiograph(PIXELS.astype(np.uint8)), unknown_spacing="pixels")
    assert values[3, 7] == np.float32((7 * 30 + 3) / 255) and not meta["spacing_known"]
    halves, _ = read(HeldRadiograph(np.linspace(0, 1, 600).reshape(20, 30)), unknown_spacing="pixels")
    assert abs(halves[3, 7] - (7 * 30 + 3) / 599) < 1e-5


def test_big_endian_arrays_are_those_of_this_machine():
    values, _ = read(HeldRadiograph(PIXELS.astype(">u2")), unknown_spacing="pixels")
    assert np.array_equal(values, read(HeldRadiograph(PIXELS), unknown_spacing="pixels")[0])


def test_a_dataset_says_its_spacing_itself(write_dicom):
    with pytest.raises(DataError, match="^x: is DICOM, which says its spacing itself"):
        HeldRadiograph(pydicom.dcmread(write_dicom(PIXELS)), (1, 1), "x")


def test_an_array_of_more_pixels_than_images_have_is_refused():
    huge = np.broadcast_to(np.uint8(1), (20_000, 20_000))
    with pytest.raises(DataError, match="x: has 20000 x 20000 pixels"):
        read(HeldRadiograph(huge, (1, 1), "x"))
