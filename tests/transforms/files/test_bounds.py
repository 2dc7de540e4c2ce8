"""What is checked before anything is decoded: kinds of file, sizes, and what compressed streams say of themselves."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid

from transforms import DataError
from transforms.files import bounds
from transforms.files.bounds import (
    Stream,
    check_regular,
    check_size,
    check_stream,
    inflated,
    jpeg_2000_stream,
    jpeg_stream,
)

X = Path("x.dcm")
PIXELS = (np.arange(20 * 30).reshape(20, 30) * 6).astype(np.uint16)  # 20 rows, 30 columns, 12 bits


@pytest.fixture
def codecs():
    return pytest.importorskip("imagecodecs")


def test_regular_files_and_links_to_them_are_taken(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    check_regular(tmp_path / "a")
    check_regular(tmp_path / "b")


def test_what_is_no_file_is_told_apart_and_never_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    (tmp_path / "to_pipe").symlink_to(tmp_path / "pipe")
    kinds = {"gone": "no such file", "link": "a link that leads nowhere", "pipe": "is no regular file but a pipe"}
    kinds |= {"to_pipe": "a pipe", "": "a folder", "/dev/zero": "a device"}
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)  # a socket's path must be short
        listening.bind("socket")
        for name, kind in {**kinds, "socket": "a socket"}.items():
            with pytest.raises(DataError, match=kind) as error:
                check_regular(tmp_path / name)
            assert str(error.value).startswith(f"{tmp_path / name}: ")


def test_images_of_100_megapixels_are_taken_and_larger_ones_told_with_both_figures():
    check_size(10_000, 10_000, X)
    check_size(1, 1, X)
    with pytest.raises(DataError, match=r"^x.dcm: has 20000 x 10000 pixels, 200 megapixels; at most 100 are read"):
        check_size(10_000, 20_000, X)
    for rows, columns in ((0, 10), (10, 0), (-10, -10), (-1, 5)):
        with pytest.raises(DataError, match="x.dcm: has"):
            check_size(rows, columns, X)


# Streams, made by another library -----------------------------------------------------------------------------------


def test_streams_of_every_kind_are_understood(codecs):
    grey = (PIXELS >> 4).astype(np.uint8)
    colour = np.dstack([grey] * 3)
    assert jpeg_stream(codecs.jpeg8_encode(grey)) == Stream(20, 30, 8, 1)
    assert jpeg_stream(codecs.jpeg8_encode(colour)) == Stream(20, 30, 8, 3)
    assert jpeg_stream(codecs.jpeg8_encode(PIXELS, bitspersample=12)) == Stream(20, 30, 12, 1)
    assert jpeg_stream(codecs.ljpeg_encode(PIXELS, bitspersample=12)) == Stream(20, 30, 12, 1)
    assert jpeg_stream(codecs.jpegls_encode(PIXELS)).columns == 30
    for options in ({"bitspersample": 12, "reversible": True}, {"bitspersample": 16}):
        stream = codecs.jpeg2k_encode(PIXELS, codecformat="j2k", **options)
        assert jpeg_2000_stream(stream) == Stream(20, 30, options["bitspersample"], 1)
    assert jpeg_2000_stream(codecs.jpeg2k_encode(colour, codecformat="jp2")) == Stream(20, 30, 8, 3)  # with a header


def test_an_image_that_begins_elsewhere_on_the_grid_of_jpeg_2000_is_smaller():
    siz = struct.pack(">HH8I", 41, 0, 130, 220, 100, 200, 130, 220, 0, 0) + struct.pack(">HBBB", 1, 0x80 | 11, 1, 1)
    assert jpeg_2000_stream(b"\xff\x4f\xff\x51" + siz) == Stream(20, 30, 12, 1)


def test_fill_bytes_and_other_segments_before_the_frame_header_are_passed_over(codecs):
    stream = codecs.jpeg8_encode((PIXELS >> 4).astype(np.uint8))
    comment = b"\xff\xff\xff\xfe" + struct.pack(">H", 2 + 6) + b"\xff\xc0\x00\x00\x00\x00"  # looks like a frame's
    assert jpeg_stream(stream[:2] + comment + stream[2:]) == Stream(20, 30, 8, 1)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9\0\0\0", b"\xff\xd8\xff\xda\0\4ab", b"GIF89a" * 9]
)
def test_what_is_no_stream_says_nothing(data):
    assert jpeg_stream(data) is None and jpeg_2000_stream(data) is None


@pytest.mark.parametrize("length", [3, 5, 10, 20])
def test_streams_cut_short_say_nothing(codecs, length):
    assert jpeg_stream(codecs.jpeg8_encode((PIXELS >> 4).astype(np.uint8))[:length]) is None
    assert jpeg_2000_stream(codecs.jpeg2k_encode(PIXELS, codecformat="j2k")[:length]) is None


def sof(rows, columns, bits, samples, marker=0xC0):
    """The beginning of a JPEG stream."""
    return b"\xff\xd8\xff" + struct.pack(">BHBHHB", marker, 8 + 3 * samples, bits, rows, columns, samples) + bytes(9)


@pytest.mark.parametrize(
    ("syntax", "stream", "header", "stored", "message"),
    [
        (uid.JPEGBaseline8Bit, sof(20, 30, 8, 1), (20, 31, 8, 1), 8, "30 x 20 pixels, .* are 31 and 20"),
        (uid.JPEGBaseline8Bit, sof(20_000, 20_000, 8, 1), (20, 30, 8, 1), 8, "20000 x 20000 pixels"),
        (uid.JPEGBaseline8Bit, sof(0, 30, 8, 1), (20, 30, 8, 1), 8, "30 x 0 pixels"),
        (uid.JPEGBaseline8Bit, sof(20, 30, 8, 1), (20, 30, 8, 1), 7, "8 bits a sample, .* is 7"),
        (uid.JPEGBaseline8Bit, sof(20, 30, 8, 1), (20, 30, 16, 1), 12, "8 bits a sample, .* is 12"),
        (uid.JPEGBaseline8Bit, sof(20, 30, 8, 3), (20, 30, 8, 1), 8, "3 samples a pixel, .* is 1"),
        (uid.JPEGLosslessSV1, sof(20, 30, 16, 1, 0xC3), (20, 30, 8, 1), 8, "16 bits a sample"),
        (uid.JPEGLSLossless, sof(20, 30, 12, 1, 0xF7), (20, 65535, 16, 1), 12, "are 65535 and 20"),
        (uid.JPEG2000, b"nonsense", (20, 30, 16, 1), 12, "do not begin as a JPEG 2000 stream does"),
        (uid.RLELossless, struct.pack("<16I", 2, *range(15)), (20, 30, 8, 1), 8, "has 2 segments, its header says 1"),
        (uid.RLELossless, b"short", (20, 30, 8, 1), 8, "has 0 segments"),
    ],
)
def test_streams_that_disagree_with_their_header_are_refused_with_both_figures(syntax, stream, header, stored, message):
    with pytest.raises(DataError, match=f"^x.dcm: its .*{message}"):
        check_stream(stream, syntax, Stream(*header), stored, X)


@pytest.mark.parametrize(
    ("syntax", "stream", "header", "stored"),
    [
        (uid.JPEGBaseline8Bit, sof(20, 30, 8, 1), (20, 30, 8, 1), 8),
        (uid.JPEGExtended12Bit, sof(20, 30, 12, 1, 0xC1), (20, 30, 16, 1), 12),
        (uid.JPEGLossless, sof(20, 30, 16, 1, 0xC3), (20, 30, 16, 1), 12),  # as DCMTK writes it
        (uid.JPEGLSLossless, sof(20, 30, 10, 1, 0xF7), (20, 30, 16, 1), 12),
        (uid.RLELossless, struct.pack("<16I", 2, *range(15)), (20, 30, 16, 1), 12),
        (uid.MPEG2MPML, b"not looked at", (20, 30, 8, 1), 8),
    ],
)
def test_streams_that_agree_with_their_header_pass(syntax, stream, header, stored):
    check_stream(stream, syntax, Stream(*header), stored, X)


# Inflation ----------------------------------------------------------------------------------------------------------


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


@pytest.fixture
def file_of(tmp_path):
    def write(content):
        (tmp_path / "x.dcm").write_bytes(content)
        return io.BytesIO(content), tmp_path / "x.dcm"

    return write


def test_what_is_deflated_is_inflated(file_of):
    content = np.random.default_rng(0).integers(0, 3, 3_000_000, np.uint8).tobytes()  # more than one part of either
    assert inflated(*file_of(deflated(content))) == content
    assert inflated(*file_of(deflated(b""))) == b""
    assert inflated(*file_of(deflated(b"abc") + b"\0")) == b"abc"  # the byte that makes its length even


def test_inflation_ends_at_the_limit(file_of, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_INFLATED", 2**22)
    assert len(inflated(*file_of(deflated(bytes(2**22))))) == 2**22
    with pytest.raises(DataError, match=r"x.dcm: is \d+ bytes that inflate to more than 4194304"):
        inflated(*file_of(deflated(bytes(2**22 + 1))))


def test_damaged_deflated_data_are_told(file_of):
    content = deflated(np.random.default_rng(0).bytes(1000))
    with pytest.raises(DataError, match="x.dcm: its deflated data end too soon"):
        inflated(*file_of(content[:-20]))
    with pytest.raises(DataError, match="x.dcm: cannot be inflated"):
        inflated(*file_of(b"\xff" * 100))
