"""Draws a cohort of phantom chest radiographs, in the layouts that radiographs are published in.

With them everything runs before there are patients' data. A model trained on them knows nothing about patients.
"""

from __future__ import annotations

import io
import os
import uuid
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEGBaseline8Bit, SecondaryCaptureImageStorage
from scipy.ndimage import gaussian_filter

from transforms import progress

from ..manifests.mask_folders import build_masks_manifest
from ..manifests.rsna_pneumonia import CLASSES, build_rsna_manifest
from .cohort import IN_FILE_FORMAT, NAME, check_numbers, draw_once

SPACING_MM = 0.7
LEAST_SIZE = 16  # in pixels: with fewer the letters vanish
NORMAL, NOT_NORMAL, OPACITY = CLASSES


def draw_phantoms(
    folder: os.PathLike | str,
    patients: int = 120,
    size: int = 512,
    seed: int = 0,
    truth: Literal["boxes", "lungs", "opacity"] = "boxes",
    task: str | None = None,
) -> str:
    """Draw a cohort on first use, with its manifest; later calls find it and draw nothing.

    Four in ten phantoms have opacities; all have them where they are the truth as masks. The folder appears only once
    it is complete.

    Args:
        folder: gets ``manifest.json`` and the radiographs. With boxes as the truth: ``stage_2_train_images/*.dcm`` and
            both CSV files, as the RSNA Pneumonia Detection Challenge has them; with masks: ``images/*.png`` and
            ``masks/*.png``.
        patients: how many, one radiograph each.
        size: rows and columns of a radiograph in pixels, at least 16.
        seed: the same seed draws the same cohort.
        truth: boxes around opacities, or masks of the lungs, without what lies behind the heart, or of opacities.
        task: that the manifest is for; by default ``"pneumonia"`` for boxes, else named as the truth.

    Returns:
        ``folder``

    Raises:
        DataError: if a number cannot be, or the folder holds anything else; nothing in it is touched.
    """
    check_numbers(patients, size, seed, LEAST_SIZE)
    kind = "rsna" if truth == "boxes" else "masks"
    task = task or ("pneumonia" if truth == "boxes" else truth)

    def draw(drawn: Path) -> None:
        if truth == "boxes":
            _draw_challenge(drawn, patients, size, seed)
            build_rsna_manifest(drawn, drawn / "manifest.json", name=NAME, seed=seed)
        else:
            _draw_masks(drawn, patients, size, seed, truth)
            build_masks_manifest(drawn, drawn / "manifest.json", task=task, name=NAME, seed=seed)

    return draw_once(folder, draw, {"task": task, "seed": seed, "patients": patients}, kind)


def _draw_masks(folder: Path, patients: int, size: int, seed: int, truth: str) -> None:
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        jobs = pool.map(partial(_draw_masked, folder, size, seed, truth), range(patients))
        for _ in progress(jobs, patients, "drawing phantoms", "file"):
            pass


def _draw_masked(folder: Path, size: int, seed: int, truth: str, number: int) -> None:
    rng = np.random.default_rng([seed, number])
    kind = OPACITY if truth == "opacity" else str(rng.choice(CLASSES))
    drawn = draw_radiograph(rng, (size, size), kind)
    mask = drawn.lungs if truth == "lungs" else drawn.opacities
    Image.fromarray(drawn.pixels).save(folder / "images" / f"phantom_{number:03d}.png")
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / f"phantom_{number:03d}.png")


def _draw_challenge(folder: Path, patients: int, size: int, seed: int) -> None:
    images = folder / "stage_2_train_images"
    images.mkdir(parents=True)
    labels, classes = [], []
    with ProcessPoolExecutor() as pool:
        drawn = pool.map(_draw_patient, [images] * patients, [size] * patients, [seed] * patients, range(patients))
        for patient, kind, boxes in progress(drawn, patients, "drawing phantoms", "file"):
            labels += [(patient, *box, 1) for box in boxes] or [(patient, None, None, None, None, 0)]
            classes += [(patient, kind)] * max(1, len(boxes))
    columns = ["patientId", "x", "y", "width", "height", "Target"]
    pd.DataFrame(labels, columns=columns).to_csv(folder / "stage_2_train_labels.csv", index=False)
    pd.DataFrame(classes, columns=["patientId", "class"]).to_csv(
        folder / "stage_2_detailed_class_info.csv", index=False
    )


def _draw_patient(images: Path, size: int, seed: int, number: int) -> tuple[str, str, list]:
    rng = np.random.default_rng([seed, number])
    kind = str(rng.choice([OPACITY, NORMAL, NOT_NORMAL], p=[0.4, 0.3, 0.3]))
    drawn = draw_radiograph(rng, (size, size), kind)
    patient = str(uuid.UUID(bytes=rng.bytes(16), version=4))
    write_dicom(images / f"{patient}.dcm", drawn.pixels, patient, rng)
    return patient, kind, drawn.boxes


class Drawn(NamedTuple):
    """A phantom and its truth; arrays are of shape (rows, columns)."""

    pixels: np.ndarray  # uint8, 0 black
    boxes: list[tuple[float, float, float, float]]  # (x, y, width, height) in pixels, one around each opacity
    opacities: np.ndarray  # boolean
    lungs: np.ndarray  # boolean, without what lies behind the heart


def draw_radiograph(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> Drawn:
    """Draw one frontal chest radiograph.

    Args:
        rng: where every random choice comes from.
        shape: (rows, columns).
        kind: one of the challenge's three classes; only "Lung Opacity" gets opacities.
    """
    rows, columns = shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    x = (x + 0.5) / columns * 2 - 1 + rng.uniform(-0.06, 0.06)  # -1 to 1 from the image's left to its right
    y = (y + 0.5) / rows * 2 - 1 + rng.uniform(-0.06, 0.06)
    width, height = rng.uniform(0.88, 1.05), rng.uniform(0.9, 1.05)
    x, y = x / width, y / height

    lungs = [_lung(x, y, side, rng) for side in (-1, 1)]
    lung = np.maximum(*lungs)
    body = _soft(1 - (np.abs(x) / 0.97) ** 4 - (np.abs(y) / 1.3) ** 6, 0.05)
    thickness = body * (0.75 + 0.1 * y)  # attenuation, in arbitrary units
    thickness -= 0.5 * lung * rng.uniform(0.85, 1.1)
    thickness += _ribs(x, y, rng) * (0.3 + 0.7 * lung) * body
    thickness += 0.22 * np.exp(-((x / 0.075) ** 2)) * (1 + 0.15 * np.sin(y * 34 + rng.uniform(0, 6)))
    size = rng.uniform(1.15, 1.4) if kind == NOT_NORMAL and rng.random() < 0.5 else rng.uniform(0.85, 1.0)
    heart = _soft(1 - ((x - 0.14) / (0.3 * size)) ** 2 - ((y - 0.28) / (0.36 * size)) ** 2, 0.25)
    thickness += 0.4 * heart * np.clip(lung + 0.25, 0, 1)
    vessels = gaussian_filter(rng.standard_normal(shape, np.float32), rows / 90) * rows / 90 * 3.5
    thickness += 0.028 * vessels * lung
    boxes, opacities = [], np.zeros(shape, bool)
    if kind == OPACITY:
        for index in rng.permutation(2)[: rng.integers(1, 3)]:
            opacity, inside, box = _opacity(lungs[index], rng)
            thickness += opacity
            opacities |= inside
            boxes.append(box)
    thickness = gaussian_filter(thickness, rows / 700)

    low, high = np.percentile(thickness, (1, 99.5))
    shown = np.clip((thickness - low) / (high - low), 0, 1) ** rng.uniform(0.7, 1.5)
    shown = shown * rng.uniform(0.7, 1.0) + rng.uniform(0, 0.12)
    shown += rng.normal(0, rng.uniform(0.008, 0.03), shape)
    pixels = Image.fromarray((np.clip(shown, 0, 1) * 255).astype(np.uint8))
    letter_at = (columns * rng.choice([0.05, 0.9]), rows * rng.uniform(0.04, 0.15))
    ImageDraw.Draw(pixels).text(letter_at, rng.choice(["L", "R"]), fill=240, font_size=rows // 16)
    return Drawn(np.asarray(pixels), boxes, opacities, (lung > 0.5) & (heart < 0.5))


def _soft(distance: np.ndarray, edge: float) -> np.ndarray:
    """1 inside (distance well above 0), 0 outside, and a soft edge between."""
    return 1 / (1 + np.exp(-np.clip(distance / edge, -20, 20) * 4))


def _lung(x: np.ndarray, y: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A lung as an ellipse, narrow at the top, cut off by the diaphragm's dome."""
    centre, half_width = 0.45 * side, rng.uniform(0.31, 0.36)
    half_width = half_width * (1 - 0.28 * np.clip(-y, -0.3, 1))
    ellipse = 1 - (np.abs(x - centre) / half_width) ** 2.5 - (np.abs(y + 0.12) / 0.72) ** 2.8
    dome = rng.uniform(0.4, 0.5) + 0.9 * (x - centre) ** 2 + (0.05 if side > 0 else 0)
    return _soft(ellipse, 0.18) * _soft(dome - y, 0.06)


def _ribs(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    ribs = np.zeros_like(x)
    slope, spacing = rng.uniform(0.5, 0.8), rng.uniform(0.145, 0.17)
    for number in range(10):
        front = -0.85 + spacing * number + slope * (np.abs(x) - 0.45) ** 2 + 0.22 * np.abs(x)
        ribs += np.exp(-(((y - front) / 0.024) ** 2)) * _soft(0.86 - np.abs(x), 0.05)
    clavicle = -0.72 + 0.12 * (1 - np.abs(x)) + 0.04 * np.sin(np.abs(x) * 6)
    return 0.09 * ribs + 0.12 * np.exp(-(((y - clavicle) / 0.028) ** 2)) * _soft(0.8 - np.abs(x), 0.05)


def _opacity(
    lung: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float, float]]:
    """A consolidation of soft and irregular edge inside a lung, and the mask and the box that a reader would draw."""
    rows, columns = lung.shape
    middle = np.argwhere(lung > 0.9)
    centre_y, centre_x = middle[rng.integers(len(middle))]
    radius_x, radius_y = rng.uniform(0.11, 0.18) * columns, rng.uniform(0.12, 0.22) * rows
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    wobble = gaussian_filter(rng.standard_normal(lung.shape, np.float32), rows / 28) * rows / 28 * 2
    distance = ((x - centre_x) / radius_x) ** 2 + ((y - centre_y) / radius_y) ** 2
    shape = _soft(1 - distance + 0.3 * wobble, rng.uniform(0.4, 0.7)) * lung
    inside = shape > 0.4
    ys, xs = np.nonzero(inside)
    left, top = float(xs.min()), float(ys.min())
    box = left, top, float(xs.max()) + 1 - left, float(ys.max()) + 1 - top
    return shape * rng.uniform(0.32, 0.46), inside, box


def write_dicom(path: Path, pixels: np.ndarray, patient: str, rng: np.random.Generator) -> None:
    """Write uint8 pixels of shape (rows, columns) as the challenge's files are: 8 bits, JPEG baseline."""
    dataset = FileDataset(str(path), {}, b"\0" * 128, FileMetaDataset(), is_implicit_VR=False)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    uids = [UID(f"2.25.{uuid.UUID(bytes=rng.bytes(16), version=4).int}") for _ in range(3)]
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uids[0]
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uids[1:]
    dataset.Modality, dataset.BodyPartExamined, dataset.ConversionType = "CR", "CHEST", "WSD"
    dataset.PatientName = dataset.PatientID = patient
    dataset.PatientSex, dataset.PatientAge = str(rng.choice(["F", "M"])), f"{rng.integers(18, 90):03d}Y"
    dataset.ViewPosition = str(rng.choice(["PA", "AP"]))
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelSpacing = [SPACING_MM, SPACING_MM]
    dataset.LossyImageCompression, dataset.LossyImageCompressionMethod = "01", "ISO_10918_1"
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=90)
    dataset.PixelData = encapsulate([stream.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, **IN_FILE_FORMAT)
