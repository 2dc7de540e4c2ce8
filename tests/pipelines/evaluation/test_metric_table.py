"""Metrics of surfaces by hand and against SciPy, and how a report's figures are written."""

from __future__ import annotations

import json
import logging

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from monai.metrics import utils as monai_utils
from monai.transforms import LoadImage
from PIL import Image
from scipy import ndimage

from pipelines.evaluation.metric_table import SURFACE, known_spacing, mean_surface, measure_surface, write_metrics
from transforms import CTReader, RadiographReader

PIXELS = {"pixels": (1.0, 1.0)}


def blobs(shape, seed):
    """Two masks of a few discs or balls each, that differ, some of them at the border."""
    rng = np.random.default_rng(seed)
    return [ndimage.binary_dilation(rng.random(shape) > 1 - 6 / np.prod(shape), iterations=4) for _ in range(2)]


def distances(prediction, truth, spacing):
    """Of every surface pixel to the nearest of the other surface, by SciPy's distance transform: there and back."""
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (prediction, truth)]
    maps = [ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges]
    return maps[1][edges[0]], maps[0][edges[1]]


def test_two_points_are_as_far_apart_as_pythagoras_says():
    prediction, truth = np.zeros((20, 10), bool), np.zeros((20, 10), bool)
    prediction[5, 4], truth[8, 8] = True, True  # 3 pixels in x and 4 in y
    found = measure_surface(prediction, truth, {"pixels": (1.0, 1.0), "mm": (2.0, 0.5)}, of="_liver")
    for name in SURFACE:
        assert found.pop(f"{name}_liver_in_pixels") == 5
        assert found.pop(f"{name}_liver_in_mm") == pytest.approx(np.hypot(6, 2))
    assert not found


@pytest.mark.parametrize(("shape", "spacing"), [((40, 30), (0.3, 0.2)), ((24, 20, 16), (0.7, 0.8, 5.0))])
def test_distances_are_those_of_every_surface_pixel_to_the_nearest_of_the_other(shape, spacing):
    prediction, truth = blobs(shape, seed=0)
    there, back = distances(prediction, truth, spacing)
    percentile = max(np.percentile(there, 95), np.percentile(back, 95))
    for masks in ((prediction, truth), (truth, prediction), (torch.from_numpy(prediction), torch.from_numpy(truth))):
        found = measure_surface(*masks, {"mm": spacing})
        assert found["average_surface_distance_in_mm"] == pytest.approx(np.append(there, back).mean(), rel=1e-5)
        assert found["hausdorff_distance_95th_percentile_in_mm"] == pytest.approx(percentile, rel=1e-5)


def pairs(axes):
    """Masks that cropping could get wrong: single voxels, at borders and corners, full ones, and blobs."""
    shape, middle = (24, 18, 14)[:axes], (12, 9, 7)[:axes]
    point, corner, whole, border = (np.zeros(shape, bool) for _ in range(4))
    point[middle], corner[(-1,) * axes], whole[:] = True, True, True
    border[0], border[..., -1] = True, True
    yield from [(point, point), (point, corner), (corner, whole), (whole, border), (border, point), (whole, whole)]
    yield from (blobs(shape, seed) for seed in range(3))


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.2, 3.0), (1.0, 1.0, 1.0), (0.7, 0.8, 5.0)])
def test_cropped_masks_have_the_distances_that_monai_gives_without_cropping(spacing, monkeypatch):
    whole = monai_utils.get_mask_edges
    for prediction, truth in pairs(len(spacing)):
        found = measure_surface(prediction, truth, {"mm": spacing})
        with monkeypatch.context() as patch:
            patch.setattr(monai_utils, "get_mask_edges", lambda *masks, **more: whole(*masks, **more | {"crop": False}))
            masks = [torch.from_numpy(mask)[None, None] for mask in (prediction, truth)]
            average = compute_average_surface_distance(*masks, include_background=True, symmetric=True, spacing=spacing)
            furthest = compute_hausdorff_distance(*masks, include_background=True, percentile=95, spacing=spacing)
        assert found["average_surface_distance_in_mm"] == pytest.approx(float(average), rel=1e-6)
        assert found["hausdorff_distance_95th_percentile_in_mm"] == pytest.approx(float(furthest), rel=1e-6)


@pytest.mark.parametrize("axes", [(0, 1), (0, 1, 2), (2, 0, 1)])
def test_a_line_that_is_too_long(axes):
    """Of 100 pixels, 80 are right; the others are 1, 2 ... 20 away, and the 95th percentile lies between 15 and 16."""
    prediction, truth = np.zeros((2, *[110, 4, 5][: len(axes)]), bool)
    prediction[5:105, 2], truth[5:85, 2] = True, True
    if len(axes) == 3:
        prediction[..., 1:], truth[..., 1:] = False, False
    spacing = [0.5, 3.0, 2.0]
    masks = (mask.transpose(axes) for mask in (prediction, truth))
    found = measure_surface(*masks, {"mm": [spacing[axis] for axis in axes]})
    assert found["hausdorff_distance_95th_percentile_in_mm"] == pytest.approx(0.5 * (15 + 0.95 * 99 - 94))
    assert found["average_surface_distance_in_mm"] == pytest.approx(0.5 * 210 / 180)


def test_what_lies_far_from_a_corner_is_measured_alike():
    """The masks are cropped before they are measured."""
    prediction, truth = blobs((20, 16), seed=1)
    padded = [np.pad(mask, ((30, 5), (1, 40))) for mask in (prediction, truth)]
    assert measure_surface(*padded, PIXELS) == measure_surface(*(np.pad(m, 1) for m in (prediction, truth)), PIXELS)


def test_no_surface_or_no_spacing_gives_no_distance():
    mask = np.ones((4, 4), bool)
    for masks in ((mask, ~mask), (~mask, mask), (~mask, ~mask)):
        assert np.isnan(list(measure_surface(*masks, PIXELS).values())).all()
    found = measure_surface(mask, mask, PIXELS | {"mm": None})
    assert {name: 0 if name.endswith("pixels") else np.nan for name in found} == pytest.approx(found, nan_ok=True)
    assert len(found) == 2 * len(SURFACE)


def test_mean_is_over_the_cases_that_have_the_distance():
    rows = pd.DataFrame({"average_surface_distance_liver_in_mm": [2.0, 4.0, np.nan], "dice_liver": [1.0, 1.0, 1.0]})
    assert mean_surface(rows, "case") == {"average_surface_distance_liver_in_mm_by_case_where_both_have_a_surface": 3.0}


def test_spacing_is_known_where_the_file_says_it(write_dicom, tmp_path):
    read = LoadImage(RadiographReader(unknown_spacing="pixels"), ensure_channel_first=True)
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert known_spacing(read(write_dicom(pixels, PixelSpacing=[0.4, 0.2]))) == pytest.approx((0.2, 0.4))  # x, y
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    assert known_spacing(read(tmp_path / "picture.png")) is None
    turned = np.array([[0, -0.8, 0, 5], [0.7, 0, 0, 9], [0, 0, 2.5, -3], [0, 0, 0, 1.0]])
    nibabel.save(nibabel.Nifti1Image(np.arange(60, dtype=np.float32).reshape(3, 4, 5), turned), tmp_path / "ct.nii.gz")
    ct = LoadImage(CTReader(), ensure_channel_first=True)(tmp_path / "ct.nii.gz")
    assert known_spacing(ct) == pytest.approx((0.7, 0.8, 2.5))


def test_figures_are_written_and_shown_and_what_is_not_defined_is_said(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        write_metrics({"images": 3, "dice": 0.25, "iou": np.float64("nan")}, tmp_path, {"data": "x"})
    written = {
        "$schema": "urn:radbundles:metrics:1",
        "evaluated": {"data": "x"},
        "images": 3,
        "dice": 0.25,
        "iou": None,
    }
    assert json.loads((tmp_path / "metrics.json").read_text()) == written
    assert (tmp_path / "metrics.csv").read_text() == "metric,value\nimages,3.0\ndice,0.25\niou,\n"
    assert [line.split(maxsplit=1) for line in caplog.text.splitlines()[1:]] == [
        ["images", "3"],
        ["dice", "0.25"],
        ["iou", "not defined"],
    ]
