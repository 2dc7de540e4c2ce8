"""Damaged and hostile files of many kinds: each is read or refused with its name, and none ends the process."""

from __future__ import annotations

import gzip
import random
import struct
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid

from pipelines.phantoms.cohort import IN_FILE_FORMAT
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


# Mutants ----------------------------------------------------------------------------------------------------------


def dicom(name, pixels, bits, syntax, encode):
    """A writer of one kind of compressed file."""

    def write(write_dicom, folder):
        return write_dicom(pixels, name=f"{name}.dcm", bits=bits, syntax=syntax, encoded=encode(pixels))

    return write


def rle(write_dicom, folder):
    dataset = pydicom.dcmread(write_dicom(DEEP, name="rle.dcm", bits=12))
    dataset.compress(uid.RLELossless)
    dataset.save_as(folder / "rle.dcm", **IN_FILE_FORMAT)
    return folder / "rle.dcm"


def deflated(write_dicom, folder):
    dataset = pydicom.dcmread(write_dicom(DEEP, name="deflated.dcm", bits=12))
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(folder / "deflated.dcm", **IN_FILE_FORMAT)
    return folder / "deflated.dcm"


def uncompressed(write_dicom, folder):
    return write_dicom(DEEP, bits=12, WindowCenter=2000, WindowWidth=3000, RescaleSlope=1, RescaleIntercept=0)


def picture(name):
    def write(write_dicom, folder):
        Image.fromarray(GREY).save(folder / name)
        return folder / name

    return write


def nifti(write_dicom, folder):
    nibabel.save(nibabel.Nifti1Image(DEEP.T[..., None], np.diag([-1.0, -1.0, 1.0, 1.0])), folder / "a.nii.gz")
    return folder / "a.nii.gz"


KINDS = {
    "JPEG": dicom("jpeg", GREY, 8, uid.JPEGBaseline8Bit, codecs.jpeg8_encode),
    "JPEG lossless": dicom("ll", DEEP, 12, uid.JPEGLosslessSV1, lambda p: codecs.ljpeg_encode(p, bitspersample=12)),
    "JPEG-LS": dicom("ls", DEEP, 12, uid.JPEGLSLossless, codecs.jpegls_encode),
    "JPEG 2000": dicom("2000", DEEP, 12, uid.JPEG2000Lossless, lambda p: codecs.jpeg2k_encode(p, codecformat="j2k")),
    "RLE": rle,
    "deflated": deflated,
    "uncompressed": uncompressed,
    "PNG": picture("a.png"),
    "JPEG picture": picture("a.jpg"),
    "NIfTI": nifti,
}


def mutate(content: bytes, random: random.Random) -> bytes:
    """Change bits and bytes, take out or put in some; half of it where streams and files have their headers."""
    data = bytearray(content)
    frame = max(content.find(mark) for mark in (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"IHDR", b"\xe0\x7f\x10\x00"))
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        start = random.choice((0, max(frame, 0)))
        place = (
            min(start + random.randrange(400), len(data) - 1) if random.random() < 0.5 else random.randrange(len(data))
        )
        change = random.random()
        if change < 0.5:
            data[place] = random.randrange(256)
        elif change < 0.7:
            data[place] ^= 1 << random.randrange(8)
        elif change < 0.8:
            data[place : place + 2] = random.choice((b"\0\0", b"\xff\xff", b"\x7f\xff", b"\1\0"))
        elif change < 0.9:
            del data[place : place + random.randrange(1, 50)]
        else:
            data[place:place] = random.randbytes(random.randrange(1, 20))
    return bytes(data)


@pytest.mark.parametrize("kind", KINDS)
def test_mutants_are_read_or_refused_with_their_name(kind, write_dicom, tmp_path):
    path = KINDS[kind](write_dicom, tmp_path)
    assert read(path) == "read"
    content, chance, found = path.read_bytes(), random.Random(kind), Counter()
    if kind == "NIfTI":
        content = gzip.decompress(content)  # half of them below the compression, of which a checksum sees every change
    for number in range(MUTANTS):
        mutant = tmp_path / f"{number}_{path.name}"
        changed = mutate(content, chance)
        if kind == "NIfTI":
            changed = gzip.compress(changed) if number % 2 else mutate(gzip.compress(content), chance)
        mutant.write_bytes(changed)
        found[read(mutant)] += 1
    assert set(found) == {"read", "refused"}, found  # or the mutations did nothing, or too much


def test_random_bytes_behind_each_beginning_are_refused(tmp_path):
    chance = random.Random(0)
    for number, start in enumerate(
        (b"", b"\0" * 128 + b"DICM", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"\x5c\1\0\0")
    ):
        for suffix in (".dcm", ".png", ".nii", ".nii.gz"):
            path = tmp_path / f"{number}{suffix}"
            path.write_bytes(start + chance.randbytes(2000))
            assert read(path) == "refused"
