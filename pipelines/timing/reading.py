"""How long reading a radiograph takes, from its file to what the network gets, beside decoding its pixels alone."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pydicom
import torch
from monai.transforms import Compose
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from ..bundle import Bundle
from ..phantoms.cohort import IN_FILE_FORMAT
from ..phantoms.radiographs import draw_radiograph, write_dicom

ROUNDS, WARM_UP = 15, 2
SIDE, LARGE = 1024, (3000, 4000)  # rows and columns of the DICOM files, and of the PNG file
NOISE = 10  # of 4,095: without it, phantoms are compressed as no radiograph is


def reading(bundle: Bundle) -> None:
    """Time how a bundle reads phantoms of each kind for its network, and their bare decoding, in turn.

    Bare decoding is pydicom's ``pixel_array`` or Pillow's, in the same process, with nothing checked. Reading is all
    that stands before the network: the bundle's preprocessing without the copy that is shown with its masks.

    Args:
        bundle: of radiographs.
    """
    transforms = bundle.read(["inference"]).get_parsed_content("preprocessing").transforms
    read = Compose([transform for transform in transforms if getattr(transform, "names", None) != ("shown",)])
    threads = torch.get_num_threads()
    print(f"medians of {ROUNDS} rounds, {threads} threads of {os.cpu_count()} cores, {platform.machine()}")
    print(f"torch {torch.__version__}, pydicom {pydicom.__version__}, Pillow {PIL.__version__}")
    print(f"{'':36}{'bare ms':>9}{'read ms':>9}  ratio")
    with tempfile.TemporaryDirectory() as folder:
        for name, path in draw_files(Path(folder)).items():
            rounds = [_alternately(path, read) for _ in range(WARM_UP + ROUNDS)][WARM_UP:]
            alone, whole = (statistics.median(times) for times in zip(*rounds, strict=True))
            ratio = statistics.median(whole / alone for alone, whole in rounds)
            print(f"{name:36}{alone:9.1f}{whole:9.1f}  {ratio:5.2f}")


def bare(path: Path) -> np.ndarray:
    """Decode the pixels of a file, in the libraries' own ways."""
    return np.asarray(Image.open(path)) if path.suffix == ".png" else pydicom.dcmread(path).pixel_array


def draw_files(folder: Path) -> dict[str, Path]:
    """A phantom in a file of each kind, with what the kind is called in the table."""
    rng = np.random.default_rng(0)
    pixels = draw_radiograph(rng, (SIDE, SIDE), "Normal").pixels
    files = {f"JPEG DICOM, 8 bits, {SIDE}²": folder / "jpeg.dcm"}
    write_dicom(folder / "jpeg.dcm", pixels, "phantom", rng)
    dataset = pydicom.dcmread(folder / "jpeg.dcm")
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    deep = np.clip(pixels * 16.0 + rng.normal(0, NOISE, pixels.shape), 0, 4095).astype("<u2")
    dataset.PixelData = deep.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset["PixelData"].is_undefined_length = False
    files[f"uncompressed DICOM, 12 bits, {SIDE}²"] = folder / "raw.dcm"
    dataset.save_as(folder / "raw.dcm", **IN_FILE_FORMAT)
    dataset.compress(JPEG2000Lossless)
    files[f"JPEG 2000 DICOM, 12 bits, {SIDE}²"] = folder / "jpeg_2000.dcm"
    dataset.save_as(folder / "jpeg_2000.dcm", **IN_FILE_FORMAT)
    large = np.asarray(Image.fromarray((deep >> 4).astype(np.uint8)).resize(LARGE[::-1]))
    files[f"PNG, 8 bits, {LARGE[1]} x {LARGE[0]}"] = folder / "large.png"
    Image.fromarray(large).save(folder / "large.png")
    return files


def _alternately(path: Path, read: Callable[[dict[str, str]], Any]) -> tuple[float, float]:
    """Milliseconds of bare decoding and of reading."""
    start = time.perf_counter()
    bare(path)
    between = time.perf_counter()
    read({"image": str(path)})
    return 1000 * (between - start), 1000 * (time.perf_counter() - between)
