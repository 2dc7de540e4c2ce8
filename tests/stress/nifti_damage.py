"""NIfTI files whose headers say what cannot be, and gzip files that hold more than they should."""

from __future__ import annotations

import gzip
import struct
from functools import lru_cache
from random import Random

# Where the fields of a NIfTI-1 header are, how one is packed and how many there are; and what they may not be
WHOLE = {"dim": (40, "<h", 8), "datatype": (70, "<h", 1), "bitpix": (72, "<h", 1), "qform_code": (252, "<h", 1)}
WHOLE |= {"sform_code": (254, "<h", 1), "sizeof_hdr": (0, "<i", 1)}
REAL = {"pixdim": (76, "<f", 8), "vox_offset": (108, "<f", 1), "scl_slope": (112, "<f", 1), "scl_inter": (116, "<f", 1)}
REAL |= {"quatern": (256, "<f", 6), "srow": (280, "<f", 12)}
WHOLE_VALUES = (
    -1,
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    24,
    31,
    33,
    64,
    128,
    256,
    512,
    540,
    768,
    1024,
    1536,
    1792,
    2048,
    10_000,
    32_767,
)
REAL_VALUES = (
    float("nan"),
    float("inf"),
    float("-inf"),
    0.0,
    -1.0,
    1e-30,
    1e30,
    3e38,
    -3e38,
    352.0,
    1e6,
    2.0,
    0.001,
    1e9,
)


def change_header(content: bytes, random: Random) -> bytes:
    """Give one to three numbers of the header a value that cannot be."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 3))):
        fields, values = random.choice(((WHOLE, WHOLE_VALUES), (REAL, REAL_VALUES)))
        place, kind, count = random.choice(list(fields.values()))
        struct.pack_into(kind, data, place + random.randrange(count) * struct.calcsize(kind), random.choice(values))
    if random.random() < 0.05:
        data[344:348] = random.choice((b"ni1\0", b"n+2\0", b"\0\0\0\0"))
    return bytes(data)


def change_structure(content: bytes, random: Random) -> bytes:
    """Cut, swapped, with extensions of any length, or with a header that asks for gigabytes."""
    large = bytearray(content)
    struct.pack_into(
        "<8h", large, 40, 3, *random.choice(((32_767, 32_767, 5), (30_000, 3000, 1), (512, 512, 4000))), 1, 1, 1, 1
    )
    extension = struct.pack("<B3xii", 1, random.choice((0, 8, 16, 2**31 - 1, -16)), 6)
    swapped = b"".join(content[n : n + 2][::-1] for n in range(0, 348, 2)) + content[348:]
    ways = [
        bytes(large),
        content[: random.randrange(len(content))],
        content[:348] + extension + content[352:],
        swapped,
        content + bytes(10**6),
        content[:348] + content,
        gzip.compress(content),  # by a name that says that it is not
    ]
    return random.choice(ways)


@lru_cache(maxsize=4)
def _zeros(size: int) -> bytes:
    return gzip.compress(bytes(size), 1)


def change_gzip(content: bytes, random: Random) -> bytes:
    """The same below gzip; or gzip's own: cut, doubled, another checksum, zeros without end before or behind."""
    below = change_structure(gzip.decompress(content), random)
    size = random.choice((10**6, 10**8, 10**9))
    ways = [
        gzip.compress(below, 1),
        gzip.compress(below, 1),
        content[: random.randrange(len(content))],
        content + content,
        content[:-8] + random.randbytes(8),
        content + _zeros(size),
        gzip.compress(below, 1) + _zeros(size),
        _zeros(size) + content,
        gzip.decompress(content),  # by a name that says that it is gzip
    ]
    return random.choice(ways)
