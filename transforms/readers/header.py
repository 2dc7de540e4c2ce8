"""What a DICOM header must say before anything is computed from it, and what is computed: refused where it cannot be.

A wrong number would make a wrong image without any error: here it becomes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.datadict import dictionary_VM
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from ..errors import DataError
from ..files.dicom import check_representation

try:
    from pydicom.pixels.utils import get_expected_length
except ImportError:  # pydicom 2, which MONAI Label pins
    from pydicom.pixel_data_handlers.util import get_expected_length  # type: ignore[no-redef]

PIXEL_SPACING_MM = (0.01, 10.0)  # in the plane of an image: from microscopic to coarser than any radiograph or CT
RADIOGRAPHS = ("CR", "DX", "RG")  # modalities: computed, digital and film radiography, PS3.3 C.7.3.1.1.1
# What says the view: ViewPosition, by PS3.3 C.8.1.1 and as else written; and ViewCodeSequence, CID 4010 in SCT and SRT
FRONTAL, SIDE, OBLIQUE = "frontal", "from the side", "oblique"
VIEWS = {FRONTAL: ("AP", "PA"), SIDE: ("LL", "RL", "LAT", "LATERAL")}
VIEWS |= {OBLIQUE: ("LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "OBLIQUE")}
VIEW_CODES = {
    FRONTAL: ("399033003", "399348003", "R-10206", "272479007", "R-10214"),
    SIDE: ("399067008", "R-102CD", "399173006", "R-10236", "399198007", "R-10232"),
    OBLIQUE: (
        *("399182000", "R-102C1", "399184004", "R-10238", "399236003", "R-10234", "399135007", "R-10220"),
        *("399356000", "R-40985", "399006002", "R-10212", "399038007", "R-10210"),
    ),
}
VIEW_TAGS = ("ViewPosition", "ViewCodeSequence", "PatientOrientation")
# In the order of trust. PixelSpacing is calibrated (PS3.3 10.7.1.3); the others are at the detector or the film.
SPACING_TAGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
LARGEST_VALUE = 1e6  # of grey values, Hounsfield units and windows, whichever sign: 16 bits hold 65,535


def named(keyword: str) -> str:
    """A tag as errors name it, such as ``WindowCenter (0028,1050)``."""
    tag = Tag(keyword)
    return f"{keyword} ({tag.group:04X},{tag.element:04X})"


class OtherKind(str):
    """Why an image is none of those that are looked for, where that is no fault of it."""


def other_kind(header: Dataset) -> str | None:
    """Why a header is not that of a frontal radiograph, or None if it is or does not say its view."""
    return _other_modality(header, RADIOGRAPHS) or _other_view(header)


def other_than_ct(header: Dataset) -> str | None:
    """Why a header is not that of a slice of a CT, or None if it is one's."""
    return _other_modality(header, ("CT",)) or (OtherKind("is a localizer") if is_localizer(header) else None)


def is_localizer(header: Dataset) -> bool:
    """Whether an image is the overview from which a scan was planned."""
    return "LOCALIZER" in (header.get("ImageType") or ())


def _other_modality(header: Dataset, wanted: Sequence[str]) -> str | None:
    """Why a header is not one of those wanted by its Modality, or None if it is."""
    found = header.get("Modality")
    if not found:
        return f"its Modality (0008,0060) is missing. Add it ({' or '.join(wanted)}), or copy the file again"
    names = wanted[0] if len(wanted) == 1 else f"one of {', '.join(wanted)}"
    return None if found in wanted else OtherKind(f"its Modality (0008,0060) is {found}, not {names}")


def _other_view(header: Dataset) -> str | None:
    """Why an image is not a frontal one by its header, or None if it is one or the header does not say.

    Of ``VIEW_TAGS`` the first that tells counts. PatientOrientation tells a view from the side: one of its axes goes to
    the front or the back of the patient, PS3.3 C.7.6.1.1.1.
    """
    position = str(header.get("ViewPosition") or "").strip().upper()
    codes = [str(item.get("CodeValue")) for item in header.get("ViewCodeSequence") or ()]
    along = [str(axis)[:1] for axis in np.atleast_1d(header.get("PatientOrientation") or [])]
    told = [("ViewPosition", view) for view, terms in VIEWS.items() if position in terms]
    told += [("ViewCodeSequence", view) for view, terms in VIEW_CODES.items() if set(codes) & set(terms)]
    told += [("PatientOrientation", SIDE) for axis in along if axis in ("A", "P")]
    if not told or told[0][1] == FRONTAL:
        return None
    tag, view = told[0]
    return OtherKind(f"it is {view} by its {named(tag)}, and a frontal image is needed. Correct the tag if it is one")


def number(
    header: Dataset, keyword: str, path: Path, low: float = -LARGEST_VALUE, high: float = LARGEST_VALUE
) -> float | None:
    """The number that a tag holds, the first where it may hold several, or None where it is missing or empty.

    Raises:
        DataError: if it is not a number, infinite, below ``low`` or above ``high``.
        ValueError: as :func:`transforms.files.dicom.check_representation`.
    """
    check_representation(header, keyword)
    value = header.get(keyword)
    if value is None or value == "":
        return None
    several = isinstance(value, Sequence) and not isinstance(value, str)
    if several and dictionary_VM(keyword) == "1":
        raise DataError(f"{path}: {named(keyword)} holds {len(value)} values, not one. Correct the tag.")
    found = float(value[0] if several else value)
    if not low <= found <= high:  # nor is what is not a number
        raise DataError(
            f"{path}: {named(keyword)} is {found:g}; it must be a number from {low:g} to {high:g}. Correct the tag."
        )
    return found


def check_bits(header: Dataset, path: Path) -> None:
    """Check that pixels have at least a bit, and lie in the lowest of those that are set aside for them, PS3.5 8.1.1.

    Raises:
        DataError: if BitsAllocated, BitsStored, HighBit and PixelRepresentation do not agree, or one is missing.
    """
    missing = [tag for tag in ("BitsAllocated", "BitsStored", "PixelRepresentation") if header.get(tag) is None]
    if missing:
        raise DataError(f"{path}: lacks {', '.join(missing)}, without which no pixel can be read. Export it again.")
    number(header, "BitsStored", path, low=1, high=int(header.BitsAllocated))
    number(header, "PixelRepresentation", path, low=0, high=1)
    highest = header.BitsStored - 1
    if header.get("HighBit", highest) not in (highest, None):
        raise DataError(
            f"{path}: its values do not lie in the lowest bits: {named('HighBit')} is {header.HighBit}, "
            f"{named('BitsStored')} {header.BitsStored}. Export it again."
        )


def check_spacing(
    spacing: Sequence[float], what: str, path: Path, bounds: tuple[float, float] = PIXEL_SPACING_MM
) -> None:
    """Check distances between pixel centres, in millimetres.

    Args:
        spacing: the distances.
        what: says them, by the tag's name.
        path: the file.
        bounds: the least and the greatest.

    Raises:
        DataError: if one is not a number or out of bounds.
    """
    if not all(bounds[0] <= distance <= bounds[1] for distance in spacing):
        found = " and ".join(f"{distance:.4g}" for distance in spacing)
        raise DataError(
            f"{path}: {what} is {found} mm; it must be from {bounds[0]:g} to {bounds[1]:g} mm. Correct it, or export "
            "the image again."
        )


def pixel_spacing(dataset: Dataset, path: Path) -> tuple[float, float] | None:
    """The distance between pixel centres in millimetres along (x, y), or None where the file does not say.

    DICOM stores it as row spacing (y), then column spacing (x): PS3.3 10.7.1.3. Twice 0 is how some say that they do
    not know it.

    Raises:
        DataError: if the first tag that says it cannot be right.
        ValueError: as :func:`transforms.files.dicom.check_representation`.
    """
    for tag in SPACING_TAGS:
        check_representation(dataset, tag)
        value = dataset.get(tag)
        if value in (None, "") or list(np.atleast_1d(value)) in ([], [0, 0]):
            continue
        if not isinstance(value, Sequence) or len(value) != 2:
            raise DataError(f"{path}: {named(tag)} is {value}; it must be two numbers. Correct the tag.")
        rows_apart, columns_apart = (float(distance) for distance in value)
        check_spacing((columns_apart, rows_apart), named(tag), path)
        return columns_apart, rows_apart
    return None


def check_length(dataset: Dataset, length: int, path: Path) -> None:
    """Check that pixel data are as long as the header says, but for the byte that makes an odd length even.

    Of uncompressed pixel data nothing else tells that Rows, Columns, NumberOfFrames or BitsAllocated are wrong: the
    image would be skewed, or be part of one. Compressed data pass: their decoder knows.

    Args:
        dataset: with the tags of the Image Pixel module, PS3.3 C.7.6.3.
        length: of the value of its PixelData, in bytes.
        path: the file.

    Raises:
        DataError: if they are longer or shorter.
    """
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    expected = get_expected_length(dataset)
    if length < expected:
        raise DataError(f"{path}: was cut short: {length} of {expected} bytes of pixel data. Copy it again.")
    if length > expected + expected % 2:
        raise DataError(
            f"{path}: holds {length} bytes of pixel data, and its Rows, Columns, NumberOfFrames and BitsAllocated "
            f"({dataset.Rows} x {dataset.Columns}, {dataset.get('NumberOfFrames') or 1}, {dataset.BitsAllocated}) make "
            f"{expected}. Correct the tags, or export it again."
        )


def check_values(values: np.ndarray, path: Path, constant: bool = False) -> None:
    """Check what a reader is about to return.

    Args:
        values: any shape.
        path: what was read.
        constant: whether all values may be alike, as in masks.

    Raises:
        DataError: if values are not finite or beyond LARGEST_VALUE, or all are alike.
    """
    low, high = values.min(), values.max()
    if not (low >= -LARGEST_VALUE and high <= LARGEST_VALUE):
        raise DataError(
            f"{path}: its values are {low:g} to {high:g}; they must be numbers of at most {LARGEST_VALUE:g}. Correct "
            "its rescale, or export it again."
        )
    if not constant and not low < high:
        raise DataError(f"{path}: all its values are {low:g}, so nothing is on it. Leave it out, or export it again.")
