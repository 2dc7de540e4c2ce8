"""Damages a file's bytes at random, and knows what else can be changed in a file of its kind: numbers, structure."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from random import Random

from . import dicom_damage, nifti_damage, picture_damage

Damage = Callable[[bytes, Random], bytes]
STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"IHDR", b"\xe0\x7f\x10\x00")  # of streams and their headers


def change_bytes(content: bytes, random: Random) -> bytes:
    """Change bits and bytes, take out or put in some; half of it where streams and files have their headers."""
    data = bytearray(content)
    frame = max(content.find(mark) for mark in STARTS)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        start = random.choice((0, max(frame, 0)))
        near = min(start + random.randrange(400), len(data) - 1)
        place = near if random.random() < 0.5 else random.randrange(len(data))
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


def _below_gzip(damage: Damage) -> Damage:
    """The same of what a file compresses: a checksum sees every other change."""

    def change(content: bytes, random: Random) -> bytes:
        return gzip.compress(damage(gzip.decompress(content), random), compresslevel=1)

    return change


def ways(kind: str, name: str) -> dict[str, Damage]:
    """The ways to damage a file, by the kind of sample and the file's name."""
    found: dict[str, Damage] = {"bytes": change_bytes}
    if kind.startswith(("DICOM", "CT series")):
        return found | {"header": dicom_damage.change_header, "structure": dicom_damage.change_structure}
    if name.endswith(".png"):
        return found | {"header": picture_damage.change_png_header, "structure": picture_damage.change_png_structure}
    if name.endswith(".jpg"):
        return found | {"header": picture_damage.change_jpeg_header, "structure": picture_damage.change_jpeg_structure}
    if name.endswith(".nii"):
        return found | {"header": nifti_damage.change_header, "structure": nifti_damage.change_structure}
    packed = {
        "bytes below gzip": _below_gzip(change_bytes),
        "header": _below_gzip(nifti_damage.change_header),
        "structure": nifti_damage.change_gzip,
    }
    return found | packed
