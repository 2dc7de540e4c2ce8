"""A report of radiographs: figures in the images' own grids, pictures, and no names."""

from __future__ import annotations

import json
import os

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, LoadImaged
from PIL import Image

from pipelines import EvaluationReport
from pipelines.evaluation.pixels import Pixels, by_threshold
from transforms import BoxesToMaskd, DataError, FitRadiographd, RadiographReader

# Columns and rows of the truth; of the prediction, which is bright; and the size of the image, columns first.
CASES = [
    (((2, 10), (3, 9)), ((2, 10), (3, 9)), (16, 12)),  # Dice 1
    (((2, 10), (3, 9)), ((6, 14), (3, 9)), (20, 30)),  # half of it: Dice 1/2
    (((2, 10), (3, 9)), ((2, 10), (3, 6)), (14, 14)),  # half of the truth and nothing else: Dice 2/3
    (((2, 10), (3, 9)), ((11, 12), (3, 4)), (14, 14)),  # Dice 0
    (None, ((4, 6), (4, 6)), (14, 14)),  # a negative, in which something is predicted
    (None, None, (10, 14)),
]
DICE = [1, 1 / 2, 2 / 3, 0, 0, np.nan]


def evaluate(data, folder, reader=None, *more):
    reader = reader or RadiographReader(unknown_spacing="pixels")
    load = LoadImaged("image", reader=reader, dtype=None, ensure_channel_first=True)
    chain = Compose([load, BoxesToMaskd(), *more])
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(data, chain), batch_size=1),
        network=torch.nn.Identity(),  # bright is probable
        val_handlers=[EvaluationReport(folder, data)],
    )
    evaluator.run()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder, data = tmp_path_factory.mktemp("report"), []
    for number, (truth, predicted, size) in enumerate(CASES):
        pixels = np.zeros(size, np.uint8)
        pixels[-1, -1] = 1  # an image of one value would be refused
        if predicted:
            pixels[slice(*predicted[0]), slice(*predicted[1])] = 255
        boxes = [[truth[0][0], truth[1][0], truth[0][1] - truth[0][0], truth[1][1] - truth[1][0]]] if truth else []
        if number == 1:  # a picture, which does not say its spacing
            path = folder / f"Doe_Jane_{number}.png"
            Image.fromarray(pixels.T).save(path)
        else:
            path = folder / f"Doe_Jane_{number}.nii.gz"
            image = (pixels[..., None] / 255).astype(np.float32)
            nibabel.save(nibabel.Nifti1Image(image, np.diag([-0.25, -0.5, 1, 1])), path)
        data.append({"image": str(path), "boxes": boxes, "patient_id": "Jane"})
    evaluate(data, folder / "out")
    return data, folder / "out"


def test_files_are_those_promised_and_name_nobody(report):
    _, out = report
    tables = {"metrics.json", "metrics.csv", "images.csv", "boxes.json"}
    pictures = {"best.png", "median.png", "worst.png"}
    assert set(os.listdir(out)) == tables | pictures | {"pixels.npz", "masks.npz"}
    assert not any("Doe" in (out / name).read_text() or "Jane" in (out / name).read_text() for name in tables)
    for name in pictures:
        picture = np.asarray(Image.open(out / name).convert("RGB"))
        assert min(picture.shape[:2]) > 200 and picture.std() > 10


def test_pictures_show_the_image_as_it_is_read_for_networks(tmp_path):
    """As integers and the value of each: a ramp from black to white is one in the picture too."""
    ramp = np.tile(np.arange(0, 256, 4, np.uint8), (64, 1))
    Image.fromarray(ramp).save(tmp_path / "0.png")
    data = [{"image": str(tmp_path / "0.png"), "boxes": [[40, 0, 20, 64]]}]
    reader = RadiographReader(unknown_spacing="pixels", indexed=True)
    evaluate(data, tmp_path / "out", reader, FitRadiographd("image", 64, (0, 100), "bilinear"))
    picture = np.asarray(Image.open(tmp_path / "out" / "best.png").convert("L"))
    middle = picture[picture.shape[0] // 2, : picture.shape[1] // 4].astype(int)
    shown = middle[np.flatnonzero(middle < 10)[0] :][:200]  # from the first black pixel
    assert len(np.unique(shown)) > 50 and (np.diff(shown) >= -2).all()


def test_each_image_is_measured_in_its_own_grid(report):
    _, out = report
    rows = pd.read_csv(out / "images.csv", index_col="case")
    assert rows["dice"].tolist() == pytest.approx(DICE, nan_ok=True)
    assert list(zip(rows["columns"], rows["rows"], strict=True)) == [size for _, _, size in CASES]
    assert (rows[["tp", "fp", "fn", "tn"]].sum(axis=1) == rows["columns"] * rows["rows"]).all()
    assert rows["tp"].tolist() == [48, 24, 24, 0, 0, 0] and rows["fn"].tolist() == [0, 24, 24, 48, 0, 0]


def test_what_is_asked_of_it_later(report):
    """The boxes, by hand; and the counts of pixels, from which Dice follows at any threshold."""
    data, out = report
    boxes = json.loads((out / "boxes.json").read_text())
    assert boxes["truth"] == [entry["boxes"] for entry in data]
    assert boxes["found"][1] == [[1.0, [6.0, 3.0, 8.0, 6.0]]] and boxes["found"][5] == []
    table = by_threshold(Pixels.load(out / "pixels.npz"))
    assert table["dice_by_image_over_positives"][0.5] == pytest.approx(np.mean(DICE[:4]))
    assert pd.read_csv(out / "images.csv")["patient"].tolist() == [0, 1, 2, 3, 4, 5]  # a plain list knows no patients


def test_surfaces_are_measured_in_pixels_and_where_the_spacing_is_known_in_millimetres(report):
    _, out = report
    rows = pd.read_csv(out / "images.csv", index_col="case")
    pixels, mm = (rows[f"average_surface_distance_in_{unit}"] for unit in ("pixels", "mm"))
    assert pixels.isna().tolist() == [False] * 4 + [True] * 2
    assert mm.isna().tolist() == [False, True, False, False, True, True]
    assert (pixels[0], mm[0]) == (0, 0)
    # one pixel at (11, 3), and the outline of 8 x 6 pixels whose nearest pixel is (9, 3): x is half as long as y
    outline = [(x, y) for x in range(2, 10) for y in range(3, 9) if x in (2, 9) or y in (3, 8)]
    for unit, found, (step_x, step_y) in (("pixels", pixels[3], (1, 1)), ("mm", mm[3], (0.25, 0.5))):
        apart = [np.hypot((11 - x) * step_x, (3 - y) * step_y) for x, y in outline]
        assert found == pytest.approx(np.mean([*apart, min(apart)]))
        found = rows[f"hausdorff_distance_95th_percentile_in_{unit}"][3]
        assert found == pytest.approx(np.percentile(apart, 95))
    metrics = json.loads((out / "metrics.json").read_text())
    for unit, column in (("pixels", pixels), ("mm", mm)):
        mean = metrics[f"average_surface_distance_in_{unit}_by_image_where_both_have_a_surface"]
        assert mean == pytest.approx(np.nanmean(column))


def test_figures_are_of_all_images(report):
    _, out = report
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["images"], metrics["positives"]) == (6, 4)
    assert metrics["dice_by_image_over_positives"] == pytest.approx(np.mean(DICE[:4]))
    assert metrics["dice_pooled_over_all"] == pytest.approx(2 * 96 / (2 * 96 + 24 + 1 + 4 + 24 + 24 + 48))
    # Boxes of IoU 1, 1/3, 1/2, 0 and one that is false: of eight thresholds from 0.40 the third is above the first two.
    # Predictions smaller than a thousandth of the image are no boxes, but these are larger.
    score = metrics["challenge_mean_average_precision_over_images_with_boxes_or_predictions"]
    assert score == pytest.approx(np.mean([1, 0, 2 / 8, 0, 0]))


def test_without_positives_there_is_no_picture(write_dicom, tmp_path):
    path = write_dicom(np.arange(72, dtype=np.uint8).reshape(8, 9))
    evaluate([{"image": str(path), "boxes": []}], tmp_path / "out")
    assert set(os.listdir(tmp_path / "out")) == {
        "metrics.json",
        "metrics.csv",
        "images.csv",
        "boxes.json",
        "pixels.npz",
        "masks.npz",
    }
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["dice_by_image_over_positives"] is None and metrics["image_specificity_over_negatives"] == 1


def test_masks_that_count_in_what_lies_behind_the_heart_count_in_no_figure(report, tmp_path, caplog):
    """Both that are wrong are marked: of what counts, one is right and one is half of it and nothing else."""
    data = [entry | ({"behind_heart": True} if number in (1, 3) else {}) for number, entry in enumerate(report[0])]
    evaluate(data, tmp_path / "out")
    assert "2 of 6 entries count in no figure" in caplog.text
    rows = pd.read_csv(tmp_path / "out" / "images.csv", index_col="case")
    assert rows["dice"].tolist() == pytest.approx(DICE, nan_ok=True)
    assert rows["behind_heart"].tolist() == [False, True, False, True, False, False]
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["dice_by_image_over_positives"] == pytest.approx((1 + 2 / 3) / 2)
    assert (metrics["images"], metrics["positives"], metrics["evaluated"]["left_out"]) == (4, 2, 2)
    table = by_threshold(Pixels.load(tmp_path / "out" / "pixels.npz"))
    assert table["dice_by_image_over_positives"][0.5] == pytest.approx((1 + 2 / 3) / 2)
    with pytest.raises(DataError, match="each entry is marked behind_heart.* Make the manifest without --behind_heart"):
        evaluate([entry | {"behind_heart": True} for entry in data], tmp_path / "none")
