"""Reads one CT, from a DICOM series or a NIfTI file. The one place that owns what a CT's voxels mean.

Knows DICOM, NIfTI and MONAI's reader interface; knows no data set and no training.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from monai.data.image_reader import ImageReader
from pydicom.dataset import Dataset

from ..errors import DataError
from ..files.dicom import decode, naming, open_dicom
from ..files.nifti import NIFTI_SUFFIXES, is_nifti, open_nifti, voxels
from ..files.worker import MEMORY_GB, SECONDS, Limits
from .ct_series import BETWEEN_SLICES_MM, FARTHEST_MM, ORIENTATION_TOLERANCE, CTVolume, arrange, find_slices
from .header import check_bits, check_length, check_spacing, check_values, number
from .metadata import metadata

AIR_HU = -1024.0  # what pixel padding becomes
SMALLEST_SLOPE = 1e-6  # HU for a step of the stored values


class CTReader(ImageReader):
    """Reads a CT for ``monai.transforms.LoadImaged``: a folder that holds one DICOM series, or a NIfTI file.

    A list of the files of one DICOM series is taken too, for when the folder holds others.

    The array is float32 of shape (x, y, z): columns, rows, slices. Its values are Hounsfield units. Of a DICOM series
    each slice's stored values go through its own rescale (PS3.3 C.11.1); without one signed values are taken as they
    are. Pixel padding (C.7.5.1.1.2) becomes -1024 HU. Slices are in the order of their positions along the normal,
    and the affine, from the index to millimetres in RAS, is made only of ImagePositionPatient,
    ImageOrientationPatient and PixelSpacing (C.7.6.2.1.1). A NIfTI file gives its values and its affine as they are,
    so that a segmentation in NIfTI can be read by the same reader.

    Args:
        labels: whether segmentations are read, of which all voxels may be alike.
        memory_gb: that decoding a file may take, in 10^9 bytes: see :class:`transforms.files.worker.Limits`.
        seconds: that decoding a file may take.

    Raises:
        DataError: from ``open`` and ``get_data``. For a folder: no series or several, a modality other than CT,
            multi-frame images, a single slice, slices missing, doubled or unevenly spaced (0.1 mm), gantry tilt
            (0.1 mm sideways), mixed sizes, spacings or orientations, values that are not HU, pixel data longer than
            the header says. For a NIfTI file: not three axes, no orientation, axes that are not at right angles. For
            both: missing, damaged or cut short, not to be decoded within the limits, voxels below 0.01 or above 10 mm
            in a slice, slices below 0.1 or above 50 mm apart, values beyond a million, all voxels alike.
    """

    def __init__(self, labels: bool = False, memory_gb: float = MEMORY_GB, seconds: float = SECONDS):
        super().__init__()
        self.labels = labels
        self.limits = Limits(memory_gb, seconds)

    def verify_suffix(self, filename: Sequence[os.PathLike | str] | os.PathLike | str) -> bool:
        return True  # the content decides

    def read(self, data: Sequence[os.PathLike | str] | os.PathLike | str, **kwargs: Any) -> Path | tuple[Path, ...]:
        # LoadImage turns any error that `read` raises into the text of its own error, but lets errors of `get_data`
        # through. So the files are opened there.
        if isinstance(data, (str, os.PathLike)):
            return Path(data)
        return tuple(Path(path) for path in data) if len(data) > 1 else Path(data[0])

    def open(self, path: os.PathLike | str | Sequence[os.PathLike | str]) -> CTVolume:
        """Read headers and check all that can be checked without decoding pixels.

        Returns:
            the files in order, the shape and the affine.

        Raises:
            DataError: as the class says.
        """
        path = self.read(path)
        if isinstance(path, tuple):
            folder = Path(os.path.commonpath([file.parent for file in path]))
            return self.open_slices(folder, find_slices(folder, path))
        if path.is_dir():
            return self.open_slices(path, find_slices(path))
        if not path.exists():
            raise DataError(f"{path}: no such file or folder.")
        if not is_nifti(path):
            raise DataError(
                f"{path}: is neither a folder nor a NIfTI file. Give the folder that holds the DICOM series, or a file "
                f"ending in {' or '.join(NIFTI_SUFFIXES)}."
            )
        return _open_nifti(path)[0]

    def open_slices(self, folder: Path, slices: list[tuple[Path, Dataset]]) -> CTVolume:
        """The same for the slices of one series whose headers, all of :data:`ct_series.TAGS`, have been read."""
        with naming(folder):
            volume = arrange(folder, slices)
        for file, header in slices:
            with naming(file):
                _check_is_hounsfield(file, header)
        return volume

    def get_data(self, img: Path | tuple[Path, ...]) -> tuple[np.ndarray, dict]:
        if isinstance(img, Path) and is_nifti(img) and img.is_file():
            volume, image = _open_nifti(img)
            values = np.ascontiguousarray(voxels(image, img, self.limits).reshape(volume.shape))
        else:
            volume = self.open(img)
            values = np.empty(volume.shape, np.float32)

            def fill(index: int) -> None:
                values[:, :, index] = _hounsfield(volume.files[index], volume.shape[:2], self.limits).T

            with ThreadPoolExecutor() as pool:
                for _ in pool.map(fill, range(len(volume.files))):
                    pass
        check_values(values, _name(img), constant=self.labels)
        return values, {**metadata(volume.affine, volume.shape), "spacing_known": True}


def _name(image: Path | tuple[Path, ...]) -> Path:
    """What errors call a CT: the file, the folder, or the first of the files."""
    return image[0] if isinstance(image, tuple) else image


def _hounsfield(path: Path, shape: tuple[int, int], limits: Limits) -> np.ndarray:
    """Decode one slice, float32 of shape (rows, columns), in Hounsfield units."""
    try:
        dataset = open_dicom(path)
    except DataError:
        raise
    except Exception as error:  # a damaged file can fail in pydicom or struct
        raise DataError(f"{path}: cannot be read as DICOM, it may be cut short ({error}). Copy it again.") from error
    # pydicom drops encapsulated pixel data whose end it does not find, so a file cut short arrives without any
    if "PixelData" not in dataset:
        raise DataError(f"{path}: has no PixelData (7FE0,0010): it was cut short. Copy it again.")
    with naming(path):
        check_length(dataset, len(dataset.PixelData), path)
    stored = decode(dataset, path, limits)
    with naming(path):
        if stored.shape != shape[::-1]:
            raise DataError(f"{path}: decodes to {stored.shape}, not to its Rows and Columns. Export it again.")
        # Above the stored bits there may be an overlay or, in signed values, no sign (PS3.5 8.1.1), as in some files of
        # the RSNA's challenge of 2023. pydicom 2 leaves them so.
        unused = max(0, stored.dtype.itemsize * 8 - int(dataset.BitsStored))
        stored = np.right_shift(np.left_shift(stored, unused), unused)
        slope, intercept = _rescale(dataset)
        values = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
        values[_is_padding(stored, dataset)] = AIR_HU
    return values


def _rescale(header: Dataset) -> tuple[float, float]:
    if header.get("RescaleSlope") in (None, "") or header.get("RescaleIntercept") in (None, ""):
        return 1.0, 0.0
    return float(header.RescaleSlope), float(header.RescaleIntercept)


def _check_is_hounsfield(path: Path, header: Dataset) -> None:
    """RescaleType is absent where the unit is HU, which CT images are meant to have (PS3.3 C.8.2.1.1)."""
    unit = str(header.get("RescaleType") or "HU").strip().upper()
    if unit != "HU":
        raise DataError(
            f"{path}: its values are {unit} by RescaleType (0028,1054), not Hounsfield units. Give a series in HU, or "
            "correct the tag."
        )
    if header.get("ModalityLUTSequence"):
        raise DataError(f"{path}: has a ModalityLUTSequence (0028,3000) for a rescale. Give a series in HU.")
    if header.get("PhotometricInterpretation") not in ("MONOCHROME1", "MONOCHROME2"):
        raise DataError(
            f"{path}: PhotometricInterpretation (0028,0004) is {header.get('PhotometricInterpretation') or 'missing'}, "
            "a CT's is MONOCHROME2. Leave it out."
        )
    check_bits(header, path)
    lacking = [tag for tag in ("RescaleSlope", "RescaleIntercept") if header.get(tag) in (None, "")]
    if len(lacking) == 1 or (lacking and not header.PixelRepresentation):
        raise DataError(
            f"{path}: lacks {' and '.join(lacking)} (0028,1052 and 0028,1053), so its values cannot be made HU. Add "
            "the tags; 1 and 0 if the values are HU as they are."
        )
    number(header, "RescaleSlope", path, low=SMALLEST_SLOPE)
    number(header, "RescaleIntercept", path)


def _is_padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    value = dataset.get("PixelPaddingValue")
    if value in (None, ""):
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    bounds = [int(value), int(value if limit in (None, "") else limit)]
    if int(dataset.PixelRepresentation):  # some write the tag as unsigned even so
        bounds = [bound - 65536 if bound > 32767 else bound for bound in bounds]
    return (stored >= min(bounds)) & (stored <= max(bounds))


def _open_nifti(path: Path) -> tuple[CTVolume, nibabel.Nifti1Image]:
    image = open_nifti(path)
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise DataError(f"{path}: has the shape {image.shape}; a CT has three axes. Give one volume.")
    if int(image.header["sform_code"]) == 0 and int(image.header["qform_code"]) == 0:
        raise DataError(
            f"{path}: does not say its orientation (sform_code and qform_code are 0), so left and right are not "
            "known. Convert it again from its source."
        )
    affine = np.asarray(image.affine, float)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.abs(affine).max() <= FARTHEST_MM:
        raise DataError(f"{path}: its affine {affine.tolist()} is no place in millimetres. Convert it again.")
    check_spacing(lengths[:2], "the spacing in its affine", path)
    check_spacing(lengths[2:], "the distance of slices in its affine", path, BETWEEN_SLICES_MM)
    directions = affine[:3, :3] / lengths
    if np.abs(directions.T @ directions - np.eye(3)).max() > ORIENTATION_TOLERANCE:
        raise DataError(
            f"{path}: its axes are not at right angles (its affine is sheared, as from a gantry tilt). Resample it to "
            "a straight grid."
        )
    x, y, z = (int(length) for length in shape)
    return CTVolume((path,), (x, y, z), affine), image
