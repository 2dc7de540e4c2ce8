"""Finds the slices of a CT series in a folder, puts them in order, and checks that they make one straight volume.

Reads headers only. Does not know what the pixels mean: that is ct.py.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from ..errors import DataError
from ..files.bounds import check_regular
from ..files.dicom import check_representation, first_bytes, naming, open_dicom
from .header import check_spacing, is_localizer, named

BETWEEN_SLICES_MM = (0.1, 50.0)  # their centres: those of a body CT are 0.5 to 10 mm apart
FARTHEST_MM = 1e5  # of a slice from the scanner's origin: 100 m
POSITION_TOLERANCE_MM = 0.1  # of a slice from its place in an evenly spaced, straight series; scanners round to 0.1
ORIENTATION_TOLERANCE = 1e-3  # of a direction cosine, without unit: 0.06 degrees
# What is alike in all slices, to within so much: 1e-4 mm of spacing are 0.05 mm across 512 pixels
ALIKE = {"Rows": 0, "Columns": 0, "PixelSpacing": 1e-4, "ImageOrientationPatient": ORIENTATION_TOLERANCE}
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM's axes point left, posterior, superior; MONAI's right, anterior

MULTI_FRAME = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima", ".img", ".ct")
NAMES_BESIDE = ("DICOMDIR", "LOCKFILE", "VERSION", "README", "LICENSE")  # what exports leave beside the images
TAGS = [
    *("SOPClassUID", "SeriesInstanceUID", "Modality", "ImageType", "AcquisitionNumber", "InstanceNumber"),
    *("PatientID", "NumberOfFrames", "Rows", "Columns", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelSpacing"),
    *("ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    "ModalityLUTSequence",
]
REQUIRED_TAGS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")


@dataclass(frozen=True)
class CTVolume:
    """Where a CT lies in the patient.

    Attributes:
        files: of a DICOM series one a slice, in the order of the third axis; of a NIfTI that file alone.
        shape: voxels along (x, y, z), the image's columns, rows and slices.
        affine: 4 x 4, from the index (x, y, z) to millimetres in RAS.
        patient: the PatientID, or an empty string where the file has none.
    """

    files: tuple[Path, ...]
    shape: tuple[int, int, int]
    affine: np.ndarray
    patient: str = ""

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The distance between voxel centres along (x, y, z) in millimetres."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)


def find_slices(folder: Path, files: Sequence[Path] | None = None) -> list[tuple[Path, Dataset]]:
    """The images of the one series in a folder, without localizers and other objects, and their headers.

    Args:
        folder: where the files are.
        files: those of the series, if the folder holds others.

    Raises:
        DataError: if there is none, if there are several series, or a file that should be an image cannot be read.
    """
    if files is None:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    with ThreadPoolExecutor() as pool:
        headers = list(pool.map(_read_header, files))
    read = zip(files, headers, strict=True)
    images = [(path, header) for path, header in read if header is not None and "Rows" in header]
    found, series = [], Counter[str]()
    for path, header in images:
        with naming(path):
            if not is_localizer(header):
                found.append((path, header))
                series[str(header.get("SeriesInstanceUID") or "")] += 1
    if not found:
        what = f"only localizers, {len(images)} of them" if images else f"no DICOM image among its {len(files)} files"
        raise DataError(f"{folder}: holds {what}. Give a folder that holds one CT series.")
    if len(series) > 1:
        counts = ", ".join(str(count) for count in sorted(series.values(), reverse=True))
        raise DataError(
            f"{folder}: holds {len(series)} series (SeriesInstanceUID (0020,000E)), of {counts} images. Put each into "
            "a folder of its own."
        )
    return found


def arrange(folder: Path, slices: list[tuple[Path, Dataset]]) -> CTVolume:
    """Order the slices of one series by position, and work out the affine from position, orientation and spacing.

    SliceThickness, SliceLocation, InstanceNumber and GantryDetectorTilt are not used: none of them has to agree with
    where the slices are (PS3.3 C.7.6.2.1.1 defines position and orientation).

    Raises:
        DataError: if slices are missing, doubled or unevenly spaced, if the stack is sheared (gantry tilt), if sizes,
            spacings or orientations are mixed, or if a spacing is out of PIXEL_SPACING_MM or BETWEEN_SLICES_MM.
    """
    for path, header in slices:
        with naming(path):
            _check_slice(path, header)
    first_path, first = slices[0]
    if len(slices) == 1:
        raise DataError(
            f"{first_path}: is the only slice of its series in {folder}, so the distance between slices is not known. "
            "Give the folder of a whole series."
        )
    with naming(folder):
        row, column = _orientation(first_path, first)
    spacing_y, spacing_x = (float(value) for value in first.PixelSpacing)
    for path, header in slices[1:]:
        with naming(path):
            _check_alike(path, header, first_path, first)

    normal = np.cross(row, column)
    positions = np.array([[float(value) for value in header.ImagePositionPatient] for _, header in slices])
    order = np.argsort(positions @ normal, kind="stable")
    slices, positions = [slices[index] for index in order], positions[order]
    spacing_z = _slice_spacing(folder, slices, positions @ normal)
    _check_straight(folder, slices, positions, normal)

    lps = np.eye(4)
    lps[:3, :3] = np.column_stack([row * spacing_x, column * spacing_y, normal * spacing_z])
    lps[:3, 3] = positions[0]
    shape = int(first.Columns), int(first.Rows), len(slices)
    return CTVolume(
        tuple(path for path, _ in slices), shape, LPS_TO_RAS @ lps, str(first.get("PatientID") or "").strip()
    )


def _read_header(path: Path) -> Dataset | None:
    """The header of a file, or None of one that clearly was never an image."""
    try:
        check_regular(path)
        with open(path, "rb") as file:
            is_dicom = file.read(132)[128:] == b"DICM"
        if not is_dicom:
            if _lies_beside(path):
                return None
            raise DataError(
                f"{path}: not a DICOM file: {first_bytes(path)}. Copy it again; or take it out of the folder if it "
                "is not a slice."
            )
        header = open_dicom(path, stop_before_pixels=True, specific_tags=TAGS)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Copy it again.") from error
    except Exception as error:  # a damaged file can fail in pydicom or struct
        raise DataError(f"{path}: cannot be read as DICOM, it may be cut short ({error}). Copy it again.") from error
    with naming(path):
        if "Rows" not in header and not _is_other_object(header):
            raise DataError(f"{path}: has no Rows (0028,0010), it is damaged or was cut short. Copy it again.")
    return header


def _is_other_object(header: Dataset) -> bool:
    """Whether a file without Rows says that it is a DICOMDIR, a report or the like, by a class that there is."""
    kind = UID(header.file_meta.get("MediaStorageSOPClassUID", CTImageStorage))
    if kind in (CTImageStorage, *MULTI_FRAME) or header.get("SOPClassUID", kind) != kind:
        return False
    return kind.is_valid and bool(kind.is_private or kind.keyword)


def _lies_beside(path: Path) -> bool:
    """Whether a name is not a slice's: slices have no extension, one of DICOM's, or the last number of a UID."""
    suffix = path.suffix.lower()
    return path.name in NAMES_BESIDE or (suffix[1:2].isalpha() and suffix not in DICOM_SUFFIXES)


def _check_slice(path: Path, header: Dataset) -> None:
    if header.get("Modality") != "CT":
        raise DataError(
            f"{path}: its Modality (0008,0060) is {header.get('Modality') or 'missing'}, not CT. Leave its series out."
        )
    frames = int(header.get("NumberOfFrames") or 1)
    if header.get("SOPClassUID") in MULTI_FRAME or frames != 1:
        fix = "Export the series as single-frame CT images, or convert it to NIfTI."
        raise DataError(f"{path}: is a multi-frame (enhanced) CT of {frames} frames, which is not read. {fix}")
    missing = [tag for tag in REQUIRED_TAGS if header.get(tag) in (None, "")]
    if missing:
        kind = "" if header.get("SOPClassUID") == CTImageStorage else ", and is not a CT Image by its SOPClassUID"
        fix = "Take it out of the folder if it is not a slice, or export the series again."
        raise DataError(f"{path}: lacks {', '.join(missing)}{kind}: where it lies is not known. {fix}")
    for tag in REQUIRED_TAGS:
        check_representation(header, tag)
    values = np.array([*header.ImagePositionPatient, *header.ImageOrientationPatient, *header.PixelSpacing], float)
    if len(values) != 11 or not np.abs(values[:9]).max() <= FARTHEST_MM:
        raise DataError(
            f"{path}: ImagePositionPatient, ImageOrientationPatient and PixelSpacing must be 3, 6 and 2 numbers, none "
            f"of the first beyond {FARTHEST_MM:g} mm. Export the series again."
        )
    check_spacing(values[9:].tolist(), named("PixelSpacing"), path)
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise DataError(f"{path}: lacks TransferSyntaxUID, without which no pixel can be read. Export it again.")
    expected = int(header.Rows) * int(header.Columns) * int(header.get("BitsAllocated") or 16) // 8
    there, compressed = os.path.getsize(path), syntax.is_encapsulated or syntax.is_deflated
    if not compressed and there < expected:
        raise DataError(f"{path}: was cut short: {there} bytes for {expected} of pixels. Copy it again.")


def _orientation(path: Path, header: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The directions of a row and of a column in LPS, as unit vectors."""
    cosines = np.array(header.ImageOrientationPatient, float)
    row, column = cosines[:3], cosines[3:]
    errors = abs(np.linalg.norm(row) - 1), abs(np.linalg.norm(column) - 1), abs(row @ column)
    if max(errors) > ORIENTATION_TOLERANCE:
        raise DataError(
            f"{path}: ImageOrientationPatient (0020,0037) is not two directions of length 1 at a right angle, beyond "
            f"{ORIENTATION_TOLERANCE:g}. Export the series again."
        )
    row = row / np.linalg.norm(row)
    column = column - row * (row @ column)
    return row, column / np.linalg.norm(column)


def _check_alike(path: Path, header: Dataset, first_path: Path, first: Dataset) -> None:
    for tag, tolerance in ALIKE.items():
        here, there = np.array(header.get(tag), float), np.array(first.get(tag), float)
        if np.abs(here - there).max() > tolerance:
            raise DataError(
                f"{path}: its {tag} is {header.get(tag)}, that of {first_path.name} in the same series is "
                f"{first.get(tag)}. Put what belongs together into a folder of its own."
            )


def _slice_spacing(folder: Path, slices: list[tuple[Path, Dataset]], along: np.ndarray) -> float:
    """The distance between slices in millimetres, from their positions along the normal, in order."""
    gaps = np.diff(along)
    doubled = np.flatnonzero(gaps < POSITION_TOLERANCE_MM)
    if len(doubled):
        (one, header), (other, other_header) = slices[doubled[0]], slices[doubled[0] + 1]
        phases = header.get("AcquisitionNumber") != other_header.get("AcquisitionNumber")
        fix = "one folder for each AcquisitionNumber (0020,0012)" if phases else "keep one of each"
        raise DataError(
            f"{folder}: slices are doubled ({len(doubled)} in all): {one.name} and {other.name}, the first pair, lie "
            f"{gaps[doubled[0]]:.3g} mm apart (ImagePositionPatient (0020,0032)). Correct the folder: {fix}."
        )
    usual = float(np.median(gaps))
    steps = np.rint(gaps / usual).astype(int)
    whole = np.abs(gaps - steps * usual) <= POSITION_TOLERANCE_MM * np.maximum(steps, 1)
    missing = np.flatnonzero((steps > 1) & whole)
    if len(missing):
        places = [
            f"{steps[gap] - 1} between {slices[gap][0].name} and {slices[gap + 1][0].name}" for gap in missing[:3]
        ]
        raise DataError(
            f"{folder}: slices are missing ({sum(steps[missing] - 1)} in all): {', '.join(places)}"
            f"{' and elsewhere' if len(missing) > 3 else ''}, where slices lie {usual:.4g} mm apart elsewhere. Copy or "
            "export the whole series again."
        )
    even = np.linspace(along[0], along[-1], len(along))
    worst = int(np.abs(along - even).argmax())
    if abs(along[worst] - even[worst]) > POSITION_TOLERANCE_MM:
        raise DataError(
            f"{folder}: its slices are unevenly spaced, {gaps.min():.4g} to {gaps.max():.4g} mm apart: "
            f"{slices[worst][0].name} is {abs(along[worst] - even[worst]):.3g} mm from its place in an even series "
            f"({POSITION_TOLERANCE_MM:g} mm is allowed). Export an evenly spaced series."
        )
    spacing = float((along[-1] - along[0]) / (len(along) - 1))
    check_spacing([spacing], f"its slices' distance by {named('ImagePositionPatient')}", folder, BETWEEN_SLICES_MM)
    return spacing


def _check_straight(
    folder: Path, slices: list[tuple[Path, Dataset]], positions: np.ndarray, normal: np.ndarray
) -> None:
    """A tilted gantry moves each slice sideways against the one before; the tilt tag is often 0 or wrong."""
    offsets = positions - positions[0]
    along = offsets @ normal
    sideways = np.linalg.norm(offsets - np.outer(along, normal), axis=1)
    worst = int(sideways.argmax())
    if sideways[worst] > POSITION_TOLERANCE_MM:
        angle = np.degrees(np.arctan2(sideways[worst], along[worst]))
        raise DataError(
            f"{folder}: its slices are not stacked at a right angle to themselves: {slices[worst][0].name} lies "
            f"{sideways[worst]:.3g} mm sideways of {slices[0][0].name} ({angle:.2g} degrees; {POSITION_TOLERANCE_MM:g} "
            "mm is allowed). That is a gantry tilt, or images of several scans. Export a series without tilt; or "
            "convert it to NIfTI with a program that corrects the tilt, such as dcm2niix, and give that file."
        )
