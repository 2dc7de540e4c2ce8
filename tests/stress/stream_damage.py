"""Streams in DICOM files and pictures that say another size, depth or structure than they have."""

from __future__ import annotations

import struct
from random import Random

SIZES = (0, 1, 2, 23, 25, 31, 33, 48, 255, 4096, 10_000, 20_000, 65_535)


def change_jpeg(frame: bytes, random: Random) -> bytes:
    """Change the frame header of a JPEG stream (SOF, ISO 10918-1 B.2.2), or repeat it, or cut its segments."""
    data = bytearray(frame)
    place = next((n for n in range(len(data) - 10) if data[n] == 0xFF and data[n + 1] in _FRAMES), None)
    if place is None:
        return frame
    way = random.randrange(7)
    if way == 0:  # lines and samples per line
        struct.pack_into(">HH", data, place + 5, random.choice((24, *SIZES)), random.choice((32, *SIZES)))
    elif way == 1:
        data[place + 4] = random.choice((0, 1, 7, 8, 9, 12, 16, 17, 255))  # bits of a sample
    elif way == 2:
        data[place + 9] = random.choice((0, 2, 3, 4, 255))  # components
    elif way == 3:
        data[place + 1] = random.choice(_FRAMES)  # the process
    elif way == 4:
        struct.pack_into(">H", data, place + 2, random.choice((0, 1, 2, 8, 11, 17, 65_535)))  # the segment's length
    elif way == 5:
        data[2:2] = data[place : place + 2 + struct.unpack_from(">H", data, place + 2)[0]]  # two frame headers
        struct.pack_into(">HH", data, 2 + 5, random.choice(SIZES), random.choice(SIZES))
    else:  # comments without end before it
        data[2:2] = b"\xff\xfe\xff\xff" + bytes(65_533) + b"\xff" * random.choice((0, 1000))
    return bytes(data)


_FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC9, 0xF7)


def change_jpeg_2000(frame: bytes, random: Random) -> bytes:
    """Change SIZ (ISO 15444-1 A.5.1): the sizes and offsets of image and tiles, the components; or COD."""
    data = bytearray(frame)
    place = data.find(b"\xff\x4f\xff\x51")
    if place < 0:
        return frame
    way = random.randrange(4)
    if way == 0:  # one of eight numbers
        number = random.choice((0, 1, 33, 2**16, 2**31 - 1, 2**32 - 1, 10_000))
        struct.pack_into(">I", data, place + 8 + 4 * random.randrange(8), number)
    elif way == 1:  # the image and its tile are large alike
        size = random.choice((10_000, 30_000, 2**31))
        struct.pack_into(">4I", data, place + 8, size, size, size - 32, size - 24)
        struct.pack_into(">4I", data, place + 24, size, size, 0, 0)
    elif way == 2:
        struct.pack_into(">H", data, place + 40, random.choice((0, 2, 3, 16_384, 65_535)))
    else:
        data[place + 42 + random.randrange(3)] = random.choice((0, 1, 7, 37, 127, 128, 255))
    cod = data.find(b"\xff\x52", place)
    if cod > 0 and random.random() < 0.3:
        data[cod + 5 + random.randrange(8)] = random.choice((0, 1, 32, 33, 255))
    return bytes(data)


def change_rle(frame: bytes, random: Random) -> bytes:
    """Change the header of RLE (PS3.5 G.5), or let runs go on and on."""
    data = bytearray(frame)
    if len(data) < 64:
        return frame
    if random.random() < 0.7:
        number = random.choice((0, 1, 3, 15, 16, 63, 64, 65, len(data), len(data) + 1, 2**31, 2**32 - 1))
        struct.pack_into("<I", data, 4 * random.randrange(4), number)
    else:
        data[64:] = bytes([random.choice((0x81, 0x80, 0x7F))]) * random.choice((1, 1000, 10**6))
    return bytes(data)
