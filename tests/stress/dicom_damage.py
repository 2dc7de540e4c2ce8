"""DICOM files with numbers that cannot be, in the wrong type, and put together in ways that the standard forbids."""

from __future__ import annotations

import io
import struct
import zlib
from functools import lru_cache
from random import Random

import pydicom
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.tag import Tag

from .stream_damage import SIZES, change_jpeg, change_jpeg_2000, change_rle

WHOLE = ["Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"]
WHOLE += ["PixelPaddingValue", "PixelPaddingRangeLimit", "PlanarConfiguration"]
DECIMAL = ["WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "PixelSpacing", "ImagerPixelSpacing"]
DECIMAL += ["NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient", "NominalScannedPixelSpacing"]
TEXT = ["PhotometricInterpretation", "Modality", "VOILUTFunction", "RescaleType", "SpecificCharacterSet", "ImageType"]
TEXT += ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "PatientID", "PresentationLUTShape"]
NUMBERS = ("nan", "inf", "-inf", "1e300", "-1e300", "1e309", "1e-300", "0", "-0", "-1", "2", "99999999999", "1.5", "")
NUMBERS += (
    "NaN\\NaN",
    "1\\2\\3",
    "0\\0",
    "1e7\\1e7",
    "0.001\\0.001",
    "11\\11",
    "abc",
    "0x10",
    "1_0",
    "\\",
    "\xb2",
    "1,5",
)
TEXTS = ("", "RGB", "PALETTE COLOR", "YBR_FULL_422", "MONOCHROME1", "MONOCHROME1\\MONOCHROME2", "CT", "SR", "SIGMOID")
TEXTS += ("LINEAR_EXACT", "LINEAR\\SIGMOID", "US", "ISO 2022 IR 87", "\xff\xfe", "LOCALIZER", "1.2", "A" * 5000)
TYPES = (
    "US",
    "SS",
    "UL",
    "FD",
    "FL",
    "DS",
    "IS",
    "LO",
    "CS",
    "UN",
    "OB",
    "OW",
    "SQ",
    "AT",
    "UI",
    "PN",
    "UT",
    "DA",
    "UV",
)


def change_header(content: bytes, random: Random) -> bytes:
    """Give one to three of the tags that matter a value that cannot be, or another type, or take them out."""
    dataset = _read(content)
    for _ in range(random.choice((1, 1, 2, 3))):
        keyword = random.choice(random.choice((WHOLE, DECIMAL, TEXT)))
        tag = Tag(keyword)
        if random.random() < 0.1:
            dataset.pop(tag, None)
            continue
        kind = pydicom.datadict.dictionary_VR(tag).split(" ")[0]
        if keyword in WHOLE:
            numbers = [*SIZES, 7, 8, 12, 15, 16, 32, 64]
            value = struct.pack("<H", random.choice(numbers)) * random.choice((0, 1, 1, 1, 1, 1, 2, 3))
        else:
            value = random.choice(NUMBERS if keyword in DECIMAL else TEXTS).encode("latin1")
            if keyword.startswith("ImageOrientation") and random.random() < 0.5:
                value = b"\\".join(random.choice((b"1", b"0", b"-1", b"nan", b"1e300")) for _ in range(6))
        if random.random() < 0.1:
            kind = random.choice(TYPES)
        _put(dataset, tag, kind, value + b" " * (len(value) % 2))
    return _written(dataset)


def change_structure(content: bytes, random: Random) -> bytes:
    """Damage what holds a file together: one of the functions below."""
    ways = [_sequences, _lengths, _cut, _syntax, _look_up_tables, _bomb, _preamble, _twice]
    syntax = _read(content).file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        ways = [_fragments, _stream, _stream, _stream, *ways]
    return random.choice(ways)(content, random)


def _read(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def _written(dataset: Dataset) -> bytes:
    """Write a file as explicit little endian whatever its transfer syntax says, but a deflated one deflated."""
    meta, body, whole = DicomBytesIO(), DicomBytesIO(), b"\0" * 128 + b"DICM"
    write_file_meta_info(meta, dataset.file_meta, enforce_standard=False)
    body.is_little_endian, body.is_implicit_VR = True, False
    write_dataset(body, dataset)
    content = body.getvalue()
    if dataset.file_meta.TransferSyntaxUID == uid.DeflatedExplicitVRLittleEndian:
        deflater = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        content = deflater.compress(content) + deflater.flush()
    return whole + meta.getvalue() + content


def _put(dataset: Dataset, tag: int, kind: str, value: bytes) -> None:
    """Add an element as its bytes are."""
    dataset[tag] = RawDataElement(Tag(tag), kind, len(value), value, 0, False, True)


def _stream(content: bytes, random: Random) -> bytes:
    """Another size in the stream, and half of the time in the header too."""
    dataset = _read(content)
    syntax = dataset.file_meta.TransferSyntaxUID
    change = (
        change_rle
        if syntax == uid.RLELossless
        else change_jpeg_2000
        if syntax in uid.JPEG2000TransferSyntaxes
        else change_jpeg
    )
    frame = b"".join(list(generate_fragments(dataset.PixelData))[1:])
    _set_fragments(dataset, [b"", change(frame, random)])
    if random.random() < 0.5:
        keywords = random.choice((("Rows",), ("Columns",), ("Rows", "Columns"), ("BitsStored",), ("SamplesPerPixel",)))
        for keyword in keywords:
            setattr(dataset, keyword, random.choice((1, 3, 7, 16)) if keyword[0] in "BS" else random.choice(SIZES))
    return _written(dataset)


def _fragments(content: bytes, random: Random) -> bytes:
    """Another offset table, and many, empty, unending or misplaced fragments."""
    dataset = _read(content)
    table, *fragments = generate_fragments(dataset.PixelData)
    frame = b"".join(fragments)
    way = random.randrange(6)
    if way == 0:
        step = random.choice((2, 10, 100))
        items = [table, *(frame[start : start + step] for start in range(0, len(frame), step))]
    elif way == 1:
        items = [struct.pack("<I", random.choice((0, 1, 8, 2**31, 2**32 - 1))) * random.choice((1, 2, 1000)), frame]
    elif way == 2:
        items = [table, *[b""] * random.choice((1, 1000)), frame]
    elif way == 3:
        items = [[table], [], [table, b""], [frame], [table, frame, frame]][random.randrange(5)]
    else:
        items = [table, frame]
    end = b"" if way == 4 else b"\xfe\xff\xdd\xe0\0\0\0\0"
    _set_fragments(dataset, items, end, random.choice((1, 2, -2, 2**31, 2**16)) if way == 5 else 0)
    return _written(dataset)


def _set_fragments(dataset: Dataset, items: list[bytes], end: bytes = b"", more: int = 0) -> None:
    packed = b"".join(b"\xfe\xff\0\xe0" + struct.pack("<I", (len(item) + more) % 2**32) + item for item in items)
    dataset[0x7FE00010] = RawDataElement(Tag(0x7FE00010), "OB", 0xFFFFFFFF, packed + end, 0, False, True)


def _sequences(content: bytes, random: Random) -> bytes:
    """Sequences in sequences, of known and unknown length."""
    depth, known = random.choice((3, 100, 900, 3000, 20_000)), random.random() < 0.3
    start, end = (
        b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff",
        b"\xfe\xff\r\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0",
    )
    nested = start * depth + end * random.choice((depth, depth, depth - 1, 0))
    if known:
        nested = b""
        for _ in range(min(depth, 900)):
            nested = _long(b"\x08\0\x40\x11SQ", _item(nested))
    place = content.find(b"\x28\0\2\0US")
    return content[:place] + nested + content[place:] if place > 0 else content[:200] + nested + content[200:]


def _lengths(content: bytes, random: Random) -> bytes:
    """An element that says another length than it has."""
    data = bytearray(content)
    tags = (b"\x28\0\x10\0US", b"\x28\0\x30\0DS", b"\xe0\x7f\x10\0O", b"\2\0\x10\0UI", b"\2\0\0\0UL", b"\x10\0\x10\0PN")
    places = [place for tag in tags if (place := data.find(tag)) > 0]
    if not places:
        return bytes(data[: random.randrange(len(data))])
    place = random.choice(places)
    long = data[place + 4 : place + 5] == b"O"
    number = (
        random.choice((0, 1, 3, 255, 65_535)) if not long else random.choice((0, 1, 1537, 2**31, 2**32 - 2, 2**32 - 1))
    )
    struct.pack_into("<I" if long else "<H", data, place + (8 if long else 6), number)
    return bytes(data)


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.choice((0, 131, 132, 140, len(content) - 1, random.randrange(len(content))))]


def _preamble(content: bytes, random: Random) -> bytes:
    """No preamble, no meta information, or another file before or behind it."""
    ends = 144 + struct.unpack_from("<I", content, 140)[0]
    way = random.choice((content[128:], content[132:], content[ends:], content[:132] + content[ends:]))
    return random.choice((way, content + content, content[:ends] + content, b"\x89PNG\r\n\x1a\n" + content))


def _twice(content: bytes, random: Random) -> bytes:
    """A tag that comes again, with another value, out of order."""
    place = content.find(b"\x28\0\x10\0US")
    again = b"".join(
        b"\x28\0" + tag + b"\0US\2\0" + struct.pack("<H", random.choice(SIZES)) for tag in (b"\x10", b"\x11")
    )
    return content[:place] + again * random.choice((1, 5)) + content[place:] if place > 0 else content + again


def _syntax(content: bytes, random: Random) -> bytes:
    """Pixels by another transfer syntax than the file has, or by none that there is."""
    dataset = _read(content)
    others = [*uid.AllTransferSyntaxes, "1.2", "", "1.2.840.10008.1.2.4.203", "x" * 64, "1.2.840.10008.1.2.4.100"]
    dataset.file_meta.TransferSyntaxUID = uid.UID(random.choice(others))
    return _written(dataset)


def _look_up_tables(content: bytes, random: Random) -> bytes:
    """A modality or VOI LUT whose descriptor and data do not fit, or whose values cannot be."""
    dataset = _read(content)
    descriptor = [random.choice((0, 1, 2, 256, 4096, 65_535)) for _ in range(2)] + [random.choice((0, 8, 12, 16, 17))]
    item = _short(b"\x28\0\2\x30US", struct.pack("<3H", *descriptor)[: random.choice((0, 2, 4, 6, 6, 6, 6))])
    data = random.choice((b"\0\0", b"\1\2", bytes(range(0, 64)))) * random.choice((0, 1, 2, 256, 4096))
    if random.random() < 0.9:
        item += _long(b"\x28\0\6\x30" + random.choice((b"OW", b"OB", b"UN")), data)
    items = _item(item) * random.choice((0, 1, 1, 1, 2))
    _put(dataset, Tag(random.choice(("VOILUTSequence", "ModalityLUTSequence"))), "SQ", items)
    return _written(dataset)


def _item(content: bytes) -> bytes:
    return b"\xfe\xff\0\xe0" + struct.pack("<I", len(content)) + content


def _short(tag: bytes, value: bytes) -> bytes:
    return tag + struct.pack("<H", len(value)) + value


def _long(tag: bytes, value: bytes) -> bytes:
    return tag + b"\0\0" + struct.pack("<I", len(value)) + value


def _bomb(content: bytes, random: Random) -> bytes:
    """A deflated file of a few kilobytes with hundreds of megabytes in it, or one that never ends."""
    dataset = _read(content)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return _cut(content, random)
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    whole = _written(dataset)
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    ends = 144 + struct.unpack_from("<I", whole, 140)[0]
    deflated = _written(dataset)
    start = deflated[: 144 + struct.unpack_from("<I", deflated, 140)[0]]
    size = random.choice((10**6, 10**8, 2 * 10**8, 2**28, 6 * 10**8))
    # an element of its own before all else, or zeros behind the last
    if random.random() < 0.5:
        element = b"\x08\0\1\0UN\0\0" + struct.pack("<I", size)
        return start + _deflated(element, size, whole[ends:])
    return start + _deflated(whole[ends:], size, b"")


@lru_cache(maxsize=16)
def _zeros(size: int) -> bytes:
    deflater = zlib.compressobj(1, zlib.DEFLATED, -15)
    parts = [deflater.compress(bytes(10**6)) for _ in range(size // 10**6)]
    return b"".join([*parts, deflater.compress(bytes(size % 10**6)), deflater.flush(zlib.Z_FULL_FLUSH)])


def _deflated(before: bytes, zeros: int, behind: bytes) -> bytes:
    first, last = (zlib.compressobj(1, zlib.DEFLATED, -15) for _ in range(2))
    head = first.compress(before) + first.flush(zlib.Z_FULL_FLUSH)
    return head + _zeros(zeros) + last.compress(behind) + last.flush()
