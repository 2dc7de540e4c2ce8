"""A small CT, as DICOM files made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from monai.transforms import LoadImage
from pydicom import uid
from pydicom.dataset import FileDataset, FileMetaDataset

from pipelines.phantoms.cohort import IN_FILE_FORMAT
from transforms import CTReader

COLUMNS, ROWS, SLICES = 7, 5, 6
HU = np.random.default_rng(0).integers(-1000, 3000, (COLUMNS, ROWS, SLICES)).astype(np.float32)  # (x, y, z)
ALONG_Z = [[10.0, 20.0, 5.0 + 2.5 * number] for number in range(SLICES)]


@pytest.fixture
def write_slice(tmp_path) -> Callable[..., Path]:
    """Writes one slice of HU as CT, with tags changed (None: left out) as told; the default is one of six alike."""

    def write(number=0, folder="ct", name=None, intercept=-1024, slope=1, stored=None, syntax=None, **tags):
        if stored is None:
            stored = ((HU[:, :, number].T - intercept) / slope).astype(np.uint16)
        dataset = FileDataset("", {}, b"\0" * 128, FileMetaDataset(), is_implicit_VR=False, is_little_endian=True)
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = uid.CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid.generate_uid()
        dataset.Modality, dataset.SeriesInstanceUID, dataset.PatientName = "CT", "1.2.3", "Doe^Jane"
        dataset.Rows, dataset.Columns = stored.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.PixelRepresentation = int(stored.dtype.kind == "i")
        dataset.PixelSpacing, dataset.SliceThickness = [0.9, 0.7], 5
        dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], ALONG_Z[number]
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
        dataset.PixelData = np.ascontiguousarray(stored).tobytes()
        dataset["PixelData"].VR = "OW"
        for tag, value in tags.items():
            if value is None:
                delattr(dataset, tag)
            else:
                setattr(dataset, tag, value)
        if syntax is not None:
            dataset.compress(syntax)
        path = tmp_path / folder / (name or f"slice{(number * 5) % 7}.dcm")  # names that are in another order
        path.parent.mkdir(exist_ok=True)
        dataset.save_as(path, **IN_FILE_FORMAT)
        return path

    return write


@pytest.fixture
def write_series(write_slice, tmp_path) -> Callable[..., Path]:
    """Writes a whole series, and gives its folder. Tags that are functions are called with the slice's number."""

    def write(folder="ct", numbers=range(SLICES), **tags):
        for number in numbers:
            write_slice(number, folder, **{tag: v(number) if callable(v) else v for tag, v in tags.items()})
        return tmp_path / folder

    return write


def read(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """The array (x, y, z) and its affine, through MONAI's own LoadImage."""
    image = LoadImage(reader=CTReader(), image_only=True)(path)
    return image.numpy(), image.affine.numpy()
