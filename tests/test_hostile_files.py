"""Damaged and hostile files of many kinds: each is read or refused with its name, and none ends the process."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid

from transforms import DataError, RadiographReader

codecs = pytest.importorskip("imagecodecs")
GREY = (np.add.outer(np.arange(24), np.arange(32)) * 4).astype(np.uint8)  # 24 rows, 32 columns
DEEP = GREY.astype(np.uint16) * 16  # 12 bits
MUTANTS = 20  # of each kind of file
READER = RadiographReader("pixels", memory_gb=1, seconds=20)


def read(path: Path) -> str:
    """``"read"``, or ``"refused"`` where an error names the file. Any other error fails."""
    try:
        values, _ = READER.get_data(path)
    except DataError as error:
        return "refused" if str(error).startswith(f"{path}: ") else f"refused without its name: {error}"
    assert values.ndim == 2 and values.dtype == np.float32
    return "read"


def refused(path: Path, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        READER.get_data(path)
    assert str(error.value).startswith(f"{path}: ")


# Those that once ended the process --------------------------------------------------------------------------------


def test_bits_stored_that_the_jpeg_stream_does_not_have(write_dicom):
    path = write_dicom(GREY, syntax=uid.JPEGBaseline8Bit, encoded=codecs.jpeg8_encode(GREY), BitsStored=7, HighBit=6)
    refused(path, r"8 bits a sample, its BitsStored \(0028,0101\) is 7 and its BitsAllocated \(0028,0100\) 8")


def test_columns_that_the_jpeg_ls_stream_does_not_have(write_dicom):
    encoded = codecs.jpegls_encode(DEEP)
    path = write_dicom(DEEP, bits=12, syntax=uid.JPEGLSLossless, encoded=encoded, Columns=65535)
    refused(path, r"32 x 24 pixels, its Columns and Rows \(0028,0011 and 0028,0010\) are 65535 and 24")


@pytest.mark.parametrize("alike", [False, True], ids=["in the stream alone", "in the header too"])
def test_small_jpeg_that_says_it_is_of_400_megapixels(write_dicom, alike):
    encoded = codecs.jpeg8_encode(GREY)
    frame = encoded.index(b"\xff\xc0")
    encoded = encoded[: frame + 5] + struct.pack(">HH", 20_000, 20_000) + encoded[frame + 9 :]
    size = {"Rows": 20_000, "Columns": 20_000} if alike else {}
    path = write_dicom(GREY, syntax=uid.JPEGBaseline8Bit, encoded=encoded, **size)
    refused(path, "400 megapixels; at most 100 are read" if alike else "20000 x 20000 pixels, .* are 32 and 24")


def test_random_bytes_behind_each_beginning_are_refused(tmp_path):
    chance = random.Random(0)
    for number, start in enumerate(
        (b"", b"\0" * 128 + b"DICM", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"\x5c\1\0\0")
    ):
        for suffix in (".dcm", ".png", ".nii", ".nii.gz"):
            path = tmp_path / f"{number}{suffix}"
            path.write_bytes(start + chance.randbytes(2000))
            assert read(path) == "refused"
