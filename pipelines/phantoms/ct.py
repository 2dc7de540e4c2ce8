"""Draws a cohort of phantom abdominal CT, in the layout of the RSNA 2023 Abdominal Trauma challenge.

With them everything runs before there are patients' data. A model trained on them knows nothing about patients.
"""

from __future__ import annotations

import os
import uuid
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal

import nibabel
import numpy as np
import pandas as pd
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import ArrayLike
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, RLELossless
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from transforms import progress

from ..manifests.abdominal_trauma import IMAGES, SEGMENTATIONS, build_abdominal_trauma_manifest
from .cohort import IN_FILE_FORMAT, NAME, check_numbers, draw_once

LEAST_SIZE = 40  # pixels: fewer would be farther apart than a CT's
WIDTH_MM, HEIGHT_MM = 400.0, 200.0  # of the field of view, and of the stack of slices
LIVER, SPLEEN, LEFT_KIDNEY, RIGHT_KIDNEY, BOWEL = range(1, 6)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

# The directions of a row and of a column in the patient (left, posterior, superior), and how the patient lies.
# Oblique series are those of a head-first one, turned as a whole, as reformats are: that is not a gantry tilt.
Orientation = tuple[np.ndarray, str] | Literal["oblique"]
HEAD_FIRST = np.array([[1.0, 0, 0], [0, 1, 0]]), "HFS"
FEET_FIRST = np.array([[-1.0, 0, 0], [0, 1, 0]]), "FFS"
ORIENTATIONS: tuple[Orientation, ...] = (HEAD_FIRST, "oblique", HEAD_FIRST, FEET_FIRST)


def draw_ct_phantoms(folder: os.PathLike | str, patients: int = 16, size: int = 128, seed: int = 0) -> str:
    """Draw a cohort on first use, with its manifest; later calls find it and draw nothing.

    Every fifth patient has two series. Series are head first, feet first and oblique, of 22 to 33 slices, 6 to 9 mm
    apart, with another SliceThickness, and their files in random order. The folder appears only once it is complete.

    Args:
        folder: gets ``train_images/PATIENT/SERIES/*.dcm``, ``segmentations/SERIES.nii.gz``,
            ``train_series_meta.csv`` and ``manifest.json``.
        patients: how many.
        size: rows and columns of a slice in pixels, at least 40: fewer would be farther apart than a CT's.
        seed: the same seed draws the same cohort.

    Returns:
        ``folder``

    Raises:
        DataError: if a number cannot be, or the folder holds anything else; nothing in it is touched.
    """
    check_numbers(patients, size, seed, LEAST_SIZE)

    def draw(drawn: Path) -> None:
        _draw_cohort(drawn, patients, size, seed)
        build_abdominal_trauma_manifest(drawn, drawn / "manifest.json", name=NAME, seed=seed)

    return draw_once(folder, draw, {"task": "abdomen", "seed": seed, "patients": patients}, "trauma")


def _draw_cohort(folder: Path, patients: int, size: int, seed: int) -> None:
    (folder / SEGMENTATIONS).mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        drawn = pool.map(_draw_patient, [folder] * patients, [size] * patients, [seed] * patients, range(patients))
        rows = [row for rows in progress(drawn, patients, "drawing phantoms", "patient") for row in rows]
    columns = ["patient_id", "series_id", "aortic_hu", "incomplete_organ"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "train_series_meta.csv", index=False)


def _draw_patient(folder: Path, size: int, seed: int, number: int) -> list[tuple[int, int, float, int]]:
    rows = []
    patient = 10000 + 7 * number
    for series_number in range(2 if number % 5 == 4 else 1):
        anatomy = np.random.default_rng([seed, number])  # the same in each series of a patient
        rng = np.random.default_rng([seed, number, series_number])
        series = 20000 + 10 * number + series_number
        affine, shape, position = _geometry(rng, size, ORIENTATIONS[(number + series_number) % len(ORIENTATIONS)])
        enhancement = float(rng.uniform(0.5, 1.0))
        hounsfield, labels = draw_abdomen(anatomy, rng, affine, shape, enhancement)
        write_series(folder / IMAGES / str(patient) / str(series), hounsfield, affine, patient, position, rng)
        write_segmentation(folder / SEGMENTATIONS / f"{series}.nii.gz", labels, affine)
        rows.append((patient, series, round(_aorta_hu(enhancement), 1), 0))
    return rows


def _geometry(
    rng: np.random.Generator, size: int, orientation: Orientation
) -> tuple[np.ndarray, tuple[int, int, int], str]:
    """A grid around the origin: its affine in LPS, its shape (columns, rows, slices), and how the patient lies."""
    spacing_z = round(float(rng.uniform(6, 9)), 2)
    shape = size, size, round(HEIGHT_MM / spacing_z)
    directions, position = HEAD_FIRST if orientation == "oblique" else orientation
    axes = np.vstack([directions, np.cross(*directions)])
    if orientation == "oblique":
        axis = rng.normal(size=3)
        angle = np.radians(rng.uniform(6, 15))
        axes = axes @ Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle).as_matrix().T
    affine = np.eye(4)
    affine[:3, :3] = axes.T * [WIDTH_MM / size, WIDTH_MM / size, spacing_z]
    affine[:3, 3] = rng.uniform(-15, 15, 3) - affine[:3, :3] @ (np.array(shape) - 1) / 2
    return affine, shape, position


def draw_abdomen(
    anatomy: np.random.Generator,
    rng: np.random.Generator,
    affine: np.ndarray,
    shape: tuple[int, int, int],
    enhancement: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one abdomen onto a grid.

    The kidneys are drawn from one distribution: only their side tells them apart.

    Args:
        anatomy: where the sizes and places of organs come from.
        rng: where noise comes from.
        affine: 4 x 4, from the index to millimetres: left, posterior, superior, from the middle of the abdomen.
        shape: voxels along the three axes.
        enhancement: 0 native to 1 well enhanced by contrast medium.

    Returns:
        Hounsfield units, float32, and labels, uint8, both of ``shape``.
    """
    index = np.stack(np.meshgrid(*(np.arange(length, dtype=np.float32) for length in shape), indexing="ij"))
    x, y, z = np.einsum("ij,jxyz->ixyz", affine[:3, :3].astype(np.float32), index) + affine[
        :3, 3, None, None, None
    ].astype(np.float32)
    body_x, body_y = anatomy.uniform(150, 175), anatomy.uniform(98, 118)
    scale = body_x / 160

    def ellipsoid(centre: ArrayLike, radii: ArrayLike, jitter: float = 0.08) -> np.ndarray:
        """Below 1 inside."""
        centre = np.array(centre) * scale + anatomy.normal(0, 3, 3)
        radii = np.array(radii) * scale * anatomy.uniform(1 - jitter, 1 + jitter, 3)
        return sum(((a - c) / r) ** 2 for a, c, r in zip((x, y, z), centre, radii, strict=True))

    outline = np.abs(x / body_x) ** 2.4 + np.abs(y / body_y) ** 2.4
    hounsfield = np.where(outline < 1, -100.0, -1000.0).astype(np.float32)  # fat, air
    hounsfield[outline < 0.78] = 50  # muscle
    cavity = (np.abs(x / (body_x * 0.8)) ** 2.4 + np.abs((y + 8) / (body_y * 0.72)) ** 2.4) < 1
    hounsfield[cavity] = -95
    dome = 70 - 0.003 * (x**2 + y**2) + anatomy.uniform(0, 12)
    hounsfield[cavity & (z > dome + 15)] = -850  # lung
    hounsfield[ellipsoid((0, 66, 0), (24, 20, 1e4)) < 1] = 210  # vertebrae
    hounsfield[ellipsoid((0, 66, 0), (14, 11, 1e4)) < 1] = 140
    hounsfield[ellipsoid((12, 36, 0), (11, 11, 1e4)) < 1] = _aorta_hu(enhancement)

    labels = np.zeros(shape, np.uint8)
    for _ in range(14):
        centre = anatomy.uniform((-95, -62, -95), (95, 5, -8))
        loop = ellipsoid(centre, anatomy.uniform((16, 14, 14), (38, 24, 30)))
        inside = (loop < 1) & cavity
        labels[inside] = BOWEL
        hounsfield[inside] = 35 + 40 * enhancement  # wall
        gas = anatomy.random() < 0.35
        lumen = (loop < 0.7) & cavity
        hounsfield[lumen] = anatomy.uniform(10, 35)
        if gas:  # rises to the front
            hounsfield[lumen & (y < centre[1] * scale - 4)] = -800
    kidneys = [(LEFT_KIDNEY, 62, anatomy.uniform(-30, 0)), (RIGHT_KIDNEY, -62, anatomy.uniform(-40, -10))]
    for label, side, height in kidneys:
        kidney = ellipsoid((side, 42, height), (27, 26, 48))
        labels[kidney < 1] = label
        hounsfield[kidney < 1] = 35 + 140 * enhancement
        hounsfield[(kidney < 0.25)] = 25 + 60 * enhancement  # medulla and pelvis
    organs = [
        (SPLEEN, ellipsoid((98, 28, 42), (32, 42, 44)), 48 + 70 * enhancement),
        (LIVER, np.minimum(ellipsoid((-68, -5, 38), (72, 66, 62)), ellipsoid((5, -35, 45), (62, 34, 36))), 0),
    ]
    for label, organ, value in organs:
        inside = (organ < 1) & (outline < 0.78) & (labels != LEFT_KIDNEY) & (labels != RIGHT_KIDNEY)
        labels[inside] = label
        hounsfield[inside] = value or 55 + 55 * enhancement
    noise = gaussian_filter(rng.standard_normal(shape, np.float32), (0.6, 0.6, 0)) * rng.uniform(25, 45)
    return gaussian_filter(hounsfield, (0.5, 0.5, 0)) + noise, labels


def _aorta_hu(enhancement: float) -> float:
    return 45 + 200 * enhancement


def write_series(
    folder: Path,
    hounsfield: np.ndarray,
    affine: np.ndarray,
    patient: int,
    position: str,
    rng: np.random.Generator,
    compressed: bool | None = None,
) -> None:
    """Write Hounsfield units of shape (x, y, z) on a grid in LPS as a CT series: 12 bits, one file a slice.

    Files are named by instance numbers that are in no order. Where it is not said whether they are compressed, half of
    the series are, as the challenge's are.
    """
    folder.mkdir(parents=True)
    stored = np.clip(np.rint(hounsfield + 1024), 0, 4095).astype(np.uint16)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = affine[:3, :3] / spacing
    study, series, frame_of_reference = (_uid(rng) for _ in range(3))
    thickness = spacing[2] * rng.choice([0.5, 1.25])
    compressed = rng.random() < 0.5 if compressed is None else compressed
    instances = rng.permutation(stored.shape[2]) + int(rng.integers(1, 200))
    for index, instance in enumerate(instances):
        dataset = FileDataset("", {}, b"\0" * 128, FileMetaDataset(), is_implicit_VR=False, is_little_endian=True)
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = _uid(rng)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
        dataset.FrameOfReferenceUID = frame_of_reference
        dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.PatientName = dataset.PatientID = str(patient)
        dataset.PatientPosition, dataset.InstanceNumber = position, int(instance)
        dataset.ImageOrientationPatient = [round(float(v), 9) for v in (*axes[:, 0], *axes[:, 1])]
        dataset.ImagePositionPatient = [round(float(v), 6) for v in (affine @ [0, 0, index, 1])[:3]]
        dataset.PixelSpacing = [float(spacing[1]), float(spacing[0])]
        dataset.SliceThickness = round(float(thickness), 3)
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.Columns, dataset.Rows = stored.shape[:2]
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
        dataset.WindowCenter, dataset.WindowWidth = 40, 400
        dataset.PixelData = np.ascontiguousarray(stored[:, :, index].T).astype("<u2").tobytes()
        dataset["PixelData"].VR = "OW"
        if compressed:
            dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(folder / f"{instance}.dcm", **IN_FILE_FORMAT)


def write_segmentation(path: Path, labels: np.ndarray, affine: np.ndarray) -> None:
    """Write labels on a grid in LPS as NIfTI whose axes run left, anterior, superior, as the challenge's do."""
    image = nibabel.Nifti1Image(labels, LPS_TO_RAS @ affine)
    to_las = ornt_transform(io_orientation(image.affine), axcodes2ornt("LAS"))
    nibabel.save(image.as_reoriented(to_las), path)


def _uid(rng: np.random.Generator) -> UID:
    return UID(f"2.25.{uuid.UUID(bytes=rng.bytes(16), version=4).int}")
