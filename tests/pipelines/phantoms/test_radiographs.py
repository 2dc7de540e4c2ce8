"""Phantoms: radiographs in the challenge's layout, the same for the same seed, with boxes where the opacities are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pydicom
import pytest

from pipelines import draw_phantoms
from pipelines.manifests.rsna_pneumonia import CLASSES, DETAILS, IMAGES, LABELS
from pipelines.phantoms.radiographs import NORMAL, OPACITY, draw_radiograph


def test_cohort_is_in_the_challenge_s_layout(cohort):
    labels, details = pd.read_csv(cohort / LABELS), pd.read_csv(cohort / DETAILS)
    assert list(labels) == ["patientId", "x", "y", "width", "height", "Target"]
    assert set(details["class"]) == set(CLASSES)
    files = sorted((cohort / IMAGES).glob("*.dcm"))
    assert sorted(labels["patientId"].unique()) == [f.stem for f in files]
    header = pydicom.dcmread(files[0])
    assert header.file_meta.TransferSyntaxUID == pydicom.uid.JPEGBaseline8Bit
    assert (header.Rows, header.Columns, header.Modality, header.PatientID) == (96, 96, "CR", files[0].stem)
    assert header.pixel_array.std() > 20


def test_same_seed_draws_the_same_cohort(cohort, tmp_path):
    again = draw_phantoms(tmp_path / "again", patients=24, size=96, seed=3)
    for name in (LABELS, DETAILS):
        assert (tmp_path / "again" / name).read_bytes() == (cohort / name).read_bytes()
    files = sorted((cohort / IMAGES).glob("*.dcm"))
    assert all((tmp_path / "again" / IMAGES / f.name).read_bytes() == f.read_bytes() for f in files)
    assert again == str(tmp_path / "again")


@pytest.mark.parametrize("seed", range(5))
def test_boxes_lie_in_the_image(seed):
    """The boxes lie in the image, and only phantoms with opacities have any."""
    pixels, boxes, opacities, lungs = draw_radiograph(np.random.default_rng(seed), (96, 128), OPACITY)
    inside = np.zeros((96, 128), bool)
    for x, y, width, height in boxes:
        inside[int(y) : int(y + height), int(x) : int(x + width)] = True
    assert opacities.any() and not (opacities & ~inside).any()
    assert 0.15 < lungs.mean() < 0.45 and pixels[lungs].mean() < pixels[~lungs & (pixels > 60)].mean()
    assert pixels.shape == (96, 128) and pixels.dtype == np.uint8 and 1 <= len(boxes) <= 2
    for x, y, width, height in boxes:
        assert 0 <= x < x + width <= 128 and 0 <= y < y + height <= 96 and width > 4 and height > 4
    assert draw_radiograph(np.random.default_rng(seed), (96, 128), NORMAL).boxes == []
