"""Files of every kind that is read, small and good, to be damaged."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imagecodecs
import nibabel
import numpy as np
import pydicom
from PIL import Image
from pydicom import uid

from pipelines.phantoms.cohort import IN_FILE_FORMAT
from pipelines.phantoms.ct import write_series
from tests.conftest import write_radiograph
from transforms import CTReader, LabelMapReader, MaskReader, RadiographReader

GREY = (np.add.outer(np.arange(24), np.arange(32)) * 4).astype(np.uint8)  # 24 rows, 32 columns
DEEP = GREY.astype(np.uint16) * 16  # 12 bits
READERS: dict[str, Any] = {
    "radiograph": RadiographReader("pixels"),
    "CT": CTReader(),
    "mask": MaskReader(),
    "labels": LabelMapReader(),
}


@dataclass(frozen=True)
class Sample:
    """A file that is read.

    Attributes:
        name: of the file.
        content: its bytes.
        reader: which of READERS reads it.
        beside: other files in its folder, which are read too: slices of a series.
    """

    name: str
    content: bytes
    reader: str = "radiograph"
    beside: dict[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path, content: bytes) -> Path:
        """Write it with another content, and give what is read: the file, or the folder of a series."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, other in {**self.beside, self.name: content}.items():
            (folder / name).write_bytes(other)
        return folder if self.beside else folder / self.name


def _dicom(pixels: np.ndarray, bits: int, syntax: uid.UID, encode: Callable[[np.ndarray], bytes]) -> Callable:
    def make(folder: Path) -> Sample:
        path = write_radiograph(folder, pixels, bits=bits, syntax=syntax, encoded=encode(pixels))
        return Sample("image.dcm", path.read_bytes())

    return make


def _uncompressed(folder: Path) -> Sample:
    values = {"WindowCenter": 2000, "WindowWidth": 3000, "RescaleSlope": 1, "RescaleIntercept": 0}
    return Sample("image.dcm", write_radiograph(folder, DEEP, bits=12, PixelPaddingValue=9, **values).read_bytes())


def _rle(folder: Path) -> Sample:
    dataset = pydicom.dcmread(write_radiograph(folder, DEEP, bits=12))
    dataset.compress(uid.RLELossless)
    return Sample("image.dcm", _saved(dataset))


def _deflated(folder: Path) -> Sample:
    dataset = pydicom.dcmread(write_radiograph(folder, DEEP, bits=12))
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    return Sample("image.dcm", _saved(dataset))


def _saved(dataset: pydicom.Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, **IN_FILE_FORMAT)
    return buffer.getvalue()


def _picture(name: str, pixels: np.ndarray = GREY, reader: str = "radiograph") -> Callable:
    def make(folder: Path) -> Sample:
        Image.fromarray(pixels).save(folder / name)
        return Sample(name, (folder / name).read_bytes(), reader)

    return make


def _nifti(name: str, values: np.ndarray, reader: str) -> Callable:
    def make(folder: Path) -> Sample:
        affine = np.diag([-1.0, -1.0, 2.0, 1.0])
        image = nibabel.Nifti1Image(values, affine)
        image.header["sform_code"] = 1
        nibabel.save(image, folder / name)
        return Sample(name, (folder / name).read_bytes(), reader)

    return make


def _series(seed: int) -> Callable:
    def make(folder: Path) -> Sample:
        values = np.random.default_rng(0).integers(-1000, 2000, (32, 24, 5)).astype(float)
        write_series(folder / "series", values, np.diag([0.7, 0.9, 2.5, 1]), 1, "HFS", np.random.default_rng(seed))
        first, *others = sorted((folder / "series").iterdir())
        return Sample(first.name, first.read_bytes(), "CT", {path.name: path.read_bytes() for path in others})

    return make


KINDS: dict[str, Callable[[Path], Sample]] = {
    "DICOM uncompressed": _uncompressed,
    "DICOM JPEG": _dicom(GREY, 8, uid.JPEGBaseline8Bit, imagecodecs.jpeg8_encode),
    "DICOM JPEG lossless": _dicom(
        DEEP, 12, uid.JPEGLosslessSV1, lambda p: imagecodecs.ljpeg_encode(p, bitspersample=12)
    ),
    "DICOM JPEG-LS": _dicom(DEEP, 12, uid.JPEGLSLossless, imagecodecs.jpegls_encode),
    "DICOM JPEG 2000": _dicom(
        DEEP, 12, uid.JPEG2000Lossless, lambda p: imagecodecs.jpeg2k_encode(p, codecformat="j2k")
    ),
    "DICOM RLE": _rle,
    "DICOM deflated": _deflated,
    "CT series": _series(0),
    "CT series, RLE": _series(1),
    "PNG": _picture("image.png"),
    "JPEG": _picture("image.jpg"),
    "mask, PNG": _picture("mask.png", (GREY > 100).astype(np.uint8) * 255, "mask"),
    "labels, PNG": _picture("labels.png", GREY // 64, "labels"),
    "NIfTI radiograph": _nifti("image.nii.gz", DEEP.T[..., None], "radiograph"),
    "NIfTI CT": _nifti("ct.nii", np.random.default_rng(0).integers(-1000, 2000, (32, 24, 5)).astype(np.int16), "CT"),
    "NIfTI CT, gzip": _nifti(
        "ct.nii.gz", np.random.default_rng(0).normal(0, 500, (32, 24, 5)).astype(np.float32), "CT"
    ),
}
