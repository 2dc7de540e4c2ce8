"""What several tests need: DICOM files made by hand, a small phantom cohort, and the real images."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from pipelines.phantoms.cohort import IN_FILE_FORMAT
from pipelines.phantoms.ct import draw_ct_phantoms
from pipelines.phantoms.radiographs import draw_phantoms
from transforms.files import decoder
from transforms.files.worker import close_workers

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = decoder.__file__


def pytest_configure() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:  # several run at once: one thread for each, and for what it starts
        torch.set_num_threads(1)
        os.environ["OMP_NUM_THREADS"] = "1"


def errors_of(path: Path) -> list[str]:
    """What dciodvfy finds wrong with a DICOM object, or the test is skipped."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed: apt install dicom3tools")
    result = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True)
    said = result.stderr + result.stdout
    assert any(known in said for known in ("Segmentation", "Comprehensive3DSR", "RTStructureSet", "CRImage", "DXImage"))
    return [line for line in said.splitlines() if line.startswith("Error")]


@pytest.fixture(autouse=True)
def log_handlers() -> Iterator[None]:
    """Handlers that a test's program set up end with the test: they would write to streams that are closed."""
    before = list(logging.root.handlers)
    yield
    for handler in [handler for handler in logging.root.handlers if handler not in before]:
        logging.root.removeHandler(handler)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """SIGINT does what it does in a terminal: it is ignored where pytest itself runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images; tests that use it are marked ``real``."""
    folder = os.environ.get("RADBUNDLES_DATA")
    if not folder:
        pytest.skip("RADBUNDLES_DATA does not name the folder of real images")
    return Path(folder)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory) -> Path:
    """24 phantoms of 96 x 96 pixels with their manifest. Do not write into it."""
    return Path(draw_phantoms(tmp_path_factory.mktemp("data") / "cohort", patients=24, size=96, seed=3))


@pytest.fixture(scope="session")
def ct_cohort(tmp_path_factory) -> Path:
    """CT of 8 phantoms, one of them with two series, of slices of 48 x 48 pixels. Do not write into it."""
    return Path(draw_ct_phantoms(tmp_path_factory.mktemp("ct") / "cohort", patients=8, size=48, seed=3))


@pytest.fixture
def decoder_program(tmp_path, monkeypatch):
    """Has files decoded by the decoding program with changes: code in which ``decoder`` is that program."""

    def change(code: str) -> None:
        path = tmp_path / "program.py"
        path.write_text(
            f"import json, sys\nsys.path[0] = {str(Path(PROGRAM).parent)!r}\nimport decoder\n"
            f"sys.path[:] = json.loads(sys.argv[1])\n{code}\ndecoder.main()\n"
        )
        monkeypatch.setattr(decoder, "__file__", str(path))
        close_workers()

    yield change
    monkeypatch.undo()
    close_workers()


def write_radiograph(
    folder: Path, pixels: np.ndarray, name="image.dcm", syntax=ExplicitVRLittleEndian, encoded=None, bits=None, **tags
) -> Path:
    """Write ``pixels`` of shape (rows, columns) as a radiograph, with tags changed (None: left out) as told."""
    pixels = np.asarray(pixels)
    dataset = FileDataset(
        name, {}, b"\0" * 128, FileMetaDataset(), is_implicit_VR=False, is_little_endian=syntax.is_little_endian
    )
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = pydicom.uid.generate_uid()
    dataset.Modality, dataset.PatientName, dataset.PatientID = "CR", "Doe^Jane", "ID-4711"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelSpacing = [0.4, 0.2]
    if encoded is None:
        order = "<" if syntax.is_little_endian else ">"
        dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    else:
        dataset.PixelData = pydicom.encaps.encapsulate([encoded])
        dataset["PixelData"].is_undefined_length = True
    for tag, value in tags.items():
        if value is None:
            delattr(dataset, tag)
        else:
            setattr(dataset, tag, value)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, **IN_FILE_FORMAT)
    return path


@pytest.fixture
def write_dicom(tmp_path):
    """Writes a radiograph into the test's folder: see :func:`write_radiograph`."""
    return partial(write_radiograph, tmp_path)
