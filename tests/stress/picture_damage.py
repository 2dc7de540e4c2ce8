"""PNG and JPEG files whose headers say what cannot be, and whose parts are out of order or blown up."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from random import Random

from .stream_damage import SIZES, change_jpeg

PNG = b"\x89PNG\r\n\x1a\n"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], len(PNG)
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        found.append((kind, content[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def _joined(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return PNG + b"".join(_chunk(*chunk) for chunk in chunks)


def change_png_header(content: bytes, random: Random) -> bytes:
    """Change IHDR, its checksum too: size, depth, kind of colour, interlacing."""
    (kind, header), *others = _chunks(content)
    columns, rows, *rest = struct.unpack(">IIBBBBB", header)
    for _ in range(random.choice((1, 2))):
        way = random.randrange(4)
        if way == 0:
            columns = random.choice((*SIZES, 2**31 - 1, 2**31, 2**32 - 1))
        elif way == 1:
            rows = random.choice((*SIZES, 2**31 - 1, 2**32 - 1))
        else:
            rest[random.randrange(5)] = random.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    return _joined([(kind, struct.pack(">IIBBBBB", columns, rows, *rest)), *others])


def change_png_structure(content: bytes, random: Random) -> bytes:
    """Chunks out of order, doubled, missing, of animations, with texts and profiles that inflate without end."""
    header, *others = _chunks(content)
    size = random.choice((10**6, 10**8))
    ways = [
        [header, *others[:-1], *others[:-1]],
        [header, header, *others],
        [*others, header],
        [header],
        [header, (b"IEND", b"")],
        [header, (b"zTXt", b"a\0\0" + _zeros(size)), *others],
        [header, (b"iCCP", b"a\0\0" + _zeros(size)), *others],
        [header, (b"iTXt", b"a\0\1\0\0\0" + _zeros(size)), *others],
        [header, (b"IDAT", _zeros(size)), (b"IEND", b"")],
        [header, (b"IDAT", b""), *others],
        [header, (b"tRNS", random.randbytes(random.choice((0, 1, 2, 6, 300)))), *others],
        [header, (b"PLTE", random.randbytes(random.choice((0, 1, 3, 768, 1000)))), *others],
        [header, (b"acTL", struct.pack(">II", random.choice((0, 1, 2**31)), 0)), *others],
        [
            header,
            (b"eXIf", b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1" + bytes([0, random.randrange(256)]) + bytes(6)),
            *others,
        ],
        [header, *((b"tEXt", b"a\0" + b"b" * 1000) for _ in range(random.choice((10, 3000)))), *others],
    ]
    return _joined(random.choice(ways))


@lru_cache(maxsize=4)
def _zeros(size: int) -> bytes:
    return zlib.compress(bytes(size), 1)


def change_jpeg_header(content: bytes, random: Random) -> bytes:
    """Change the frame header."""
    return change_jpeg(content, random)


def change_jpeg_structure(content: bytes, random: Random) -> bytes:
    """Segments that are cut, doubled or put in: orientation, tables, restarts, many scans, another picture."""
    scan = content.find(b"\xff\xda")
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1" + bytes([0, random.randrange(12)]) + bytes(6)
    exif = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    ways = [
        content[:2] + exif + content[2:],
        content[:scan] + content[scan:-2] * random.choice((2, 50)) + b"\xff\xd9",
        content[: random.randrange(len(content))],
        content[:scan] + b"\xff\xdd\0\4" + struct.pack(">H", random.choice((0, 1, 65_535))) + content[scan:],
        content[:scan]
        + b"\xff\xc4"
        + struct.pack(">H", random.choice((0, 2, 300)))
        + random.randbytes(300)
        + content[scan:],
        content[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([random.randrange(4)]) + content[2:],
        content[:2] + b"\xff\xe2" + struct.pack(">H", 65_535) + b"MPF\0" + random.randbytes(100) + content[2:],
        content + content,
        content[:-2] + b"\xff" * 10_000,
    ]
    return random.choice(ways)
