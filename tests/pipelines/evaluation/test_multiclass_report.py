"""A report of volumes in classes: figures in the images' own grids, ROC by slice, pictures, and no names."""

from __future__ import annotations

import json
import os

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from ignite.engine import Events
from monai.data import Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import CastToTyped, Compose, CopyItemsd, Invertd, LoadImaged, Orientationd, ScaleIntensityRanged
from PIL import Image
from scipy import ndimage
from sklearn import metrics as sklearn

from networks import VolumeInferer
from pipelines import ClassReport, ReadAhead, evaluate_batch
from transforms import CTReader, FitSlicesd

CLASSES = ["background", "liver", "left kidney"]
SIZE = 20  # of the network's slices: the longer side of all, so that none is resampled, and all can be worked out
SPACING = (1.5, 1.25, 3.0)  # millimetres along (x, y, z)
SHAPES = ((20, 12, 5), (12, 20, 4), (20, 20, 3))  # (x, y, z); the last volume has no organ


class ByBrightness(torch.nn.Module):
    """Three logits of each pixel, of a dark, a middling and a bright class, from its second channel."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image):
        brightness = image[:, 1:2]
        return 9 * torch.cat([-brightness, -(brightness - 0.5).abs(), brightness - 1], dim=1)


def write(folder, shapes=SHAPES):
    """Volumes as NIfTI, noisy, so that predictions are not perfect. Their axes run right and front."""
    rng = np.random.default_rng(0)
    data = []
    for number, shape in enumerate(shapes):
        label = np.zeros(shape, np.uint8)
        if number != 2:
            label[2:8, 3:9, 1:3] = 1
            label[8:11, 3:9, 2] = 2
        image = (label * 100 + rng.normal(0, 35, shape)).astype(np.float32)
        item = {}
        for key, values in (("image", image), ("label", label)):
            item[key] = str(folder / f"Doe_Jane_{number}_{key}.nii.gz")
            nibabel.save(nibabel.Nifti1Image(values, np.diag([*SPACING, 1.0])), item[key])
        data.append(item)
    return data


def preprocessing():
    return Compose(
        [
            LoadImaged("image", reader=CTReader(), ensure_channel_first=True),
            LoadImaged("label", reader=CTReader(labels=True), ensure_channel_first=True),
            CastToTyped("label", dtype=torch.uint8),
            CopyItemsd("label", names="network_label"),
            Orientationd(["image", "network_label"], axcodes="LPS", labels=None),
            ScaleIntensityRanged("image", 0, 200, 0, 1, clip=True),
            FitSlicesd(["image", "network_label"], size=SIZE, mode=["trilinear", "nearest-exact"]),
            CastToTyped("network_label", dtype=torch.uint8),
        ]
    )


def evaluate(data, folder):
    """Returns the predictions (x, y, z), in the images' own grids."""
    chain, predictions = preprocessing(), []
    cast = CastToTyped("pred", dtype=torch.uint8)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=ReadAhead(Dataset(data, chain)),
        iteration_update=evaluate_batch,
        decollate=False,
        network=ByBrightness(),
        inferer=VolumeInferer(roi_size=(SIZE, SIZE), sw_batch_size=2),
        postprocessing=Compose([cast, Invertd("pred", chain, orig_keys="image", nearest_interp=True), cast]),
        val_handlers=[ClassReport(folder, CLASSES)],
    )
    evaluator.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: predictions.append(engine.state.output[0]["pred"][0].numpy())
    )
    evaluator.run()
    return predictions


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    data = write(folder)
    return data, folder / "out", evaluate(data, folder / "out")


def by_hand(item):
    """Truth, prediction and probabilities (x, y, z, class) of a volume, in its own grid."""
    image, truth = (np.asarray(nibabel.load(item[key]).dataobj) for key in ("image", "label"))
    brightness = np.clip(image / 200, 0, 1).astype(np.float64)
    powers = np.exp(9 * np.stack([-brightness, -np.abs(brightness - 0.5), brightness - 1], axis=-1))
    return truth, powers.argmax(axis=-1), powers / powers.sum(axis=-1, keepdims=True)


def test_files_are_those_promised_and_name_nobody(report):
    _, out, _ = report
    tables = {"metrics.json", "metrics.csv", "cases.csv", "confusion_matrix.csv"}
    pictures = {"confusion_matrix.png", "roc.png", "best.png", "median.png", "worst.png"}
    assert set(os.listdir(out)) == tables | pictures
    assert not any("Doe" in (out / name).read_text() for name in tables)
    for name in pictures:
        picture = np.asarray(Image.open(out / name).convert("RGB"))
        assert min(picture.shape[:2]) > 200 and picture.std() > 10


def test_figures_are_scikit_learn_s_in_the_images_own_grids(report):
    data, out, predictions = report
    truths, called, _ = zip(*(by_hand(item) for item in data), strict=True)
    for mine, theirs in zip(called, predictions, strict=True):
        assert np.array_equal(mine, theirs)
    truth, predicted = (np.concatenate([volume.ravel() for volume in volumes]) for volumes in (truths, called))
    metrics = json.loads((out / "metrics.json").read_text())
    matrix = pd.read_csv(out / "confusion_matrix.csv", index_col=0)
    assert list(matrix) == list(matrix.index) == CLASSES
    assert np.array_equal(matrix, sklearn.confusion_matrix(truth, predicted))
    assert metrics["voxel_accuracy_pooled_over_all"] == pytest.approx(sklearn.accuracy_score(truth, predicted))
    dice = sklearn.f1_score(truth, predicted, average=None)
    iou = sklearn.jaccard_score(truth, predicted, average=None)
    for number, name in enumerate(("background", "liver", "left_kidney")):
        assert metrics[f"dice_{name}_pooled_over_all"] == pytest.approx(dice[number])
        assert metrics[f"iou_{name}_pooled_over_all"] == pytest.approx(iou[number])
    assert metrics["dice_mean_of_organs_pooled_over_all"] == pytest.approx(dice[1:].mean())
    two = [[volume.ravel() for volume in volumes[:2]] for volumes in (truths, called)]
    cases = [sklearn.f1_score(t, p, average=None) for t, p in zip(*two, strict=True)]
    for number, name in ((1, "liver"), (2, "left_kidney")):
        of_organ = np.mean([case[number] for case in cases])
        assert metrics[f"dice_{name}_by_case_over_cases_with_it"] == pytest.approx(of_organ)
        of_organ = np.mean([sklearn.jaccard_score(t == number, p == number) for t, p in zip(*two, strict=True)])
        assert metrics[f"iou_{name}_by_case_over_cases_with_it"] == pytest.approx(of_organ)
    assert metrics["dice_mean_of_organs_by_case"] == pytest.approx(np.mean([case[1:].mean() for case in cases]))
    assert (metrics["cases"], metrics["cases_with_liver"], metrics["cases_with_background"]) == (3, 2, 3)
    rows = pd.read_csv(out / "cases.csv", index_col="case")
    assert rows["dice_mean_of_organs"].isna().tolist() == [False, False, True]
    assert rows["voxels_liver"].tolist() == [72, 72, 0]


def test_surfaces_are_measured_in_millimetres_in_the_images_own_grids(report):
    data, out, _ = report
    rows = pd.read_csv(out / "cases.csv", index_col="case")
    metrics = json.loads((out / "metrics.json").read_text())
    for number, name in ((1, "liver"), (2, "left_kidney")):
        column = rows[f"average_surface_distance_{name}_in_mm"]
        percentiles = rows[f"hausdorff_distance_95th_percentile_{name}_in_mm"]
        for item, value, percentile in zip(data, column, percentiles, strict=True):
            truth, called, _ = by_hand(item)
            edges = [mask & ~ndimage.binary_erosion(mask) for mask in (called == number, truth == number)]
            maps = [ndimage.distance_transform_edt(~edge, sampling=SPACING) for edge in edges]
            if not edges[1].any():
                assert np.isnan([value, percentile]).all()
                continue
            there, back = maps[1][edges[0]], maps[0][edges[1]]
            assert value == pytest.approx(np.append(there, back).mean(), rel=1e-5)
            assert percentile == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), rel=1e-5)
        mean = metrics[f"average_surface_distance_{name}_in_mm_by_case_where_both_have_a_surface"]
        assert mean == pytest.approx(column[:2].mean()) and column.isna().tolist() == [False, False, True]
    assert not any("surface" in name and "background" in name for name in metrics)


def test_roc_auc_is_scikit_learn_s_over_the_slices_that_the_network_saw(report):
    data, out, _ = report
    metrics = json.loads((out / "metrics.json").read_text())
    truths, scores = [], []
    for item in data:
        truth, _, probabilities = by_hand(item)
        missing = [(0, SIZE - length) for length in truth.shape[:2]]
        truths.append(np.pad(truth, [*missing, (0, 0)]).ravel())
        black = np.exp(9 * np.array([0, -0.5, -1.0]))  # the padding
        padded = np.pad(probabilities, [*missing, (0, 0), (0, 0)], constant_values=np.nan)
        scores.append(np.where(np.isnan(padded), black / black.sum(), padded).reshape(-1, 3))
    truth, score = np.concatenate(truths), np.concatenate(scores).astype(np.float32)
    for number, name in enumerate(("background", "liver", "left_kidney")):
        error = metrics[f"roc_auc_{name}_error_at_most"]
        exact = sklearn.roc_auc_score(truth == number, score[:, number])
        # 1e-5: the last bits of probabilities computed otherwise, which order voxels that are all but the same
        assert abs(metrics[f"roc_auc_{name}_by_voxel_of_the_network"] - exact) <= error + 1e-5 and error < 1e-3


def test_slices_of_another_size_are_measured_in_their_own_grid(tmp_path):
    data = write(tmp_path, shapes=((14, 12, 3), (32, 40, 3)))
    predictions = evaluate(data, tmp_path / "out")
    assert [p.shape for p in predictions] == [(14, 12, 3), (32, 40, 3)]
    matrix = pd.read_csv(tmp_path / "out" / "confusion_matrix.csv", index_col=0)
    assert matrix.sum(axis=1)["liver"] == 2 * 72 and matrix.to_numpy().sum() == 14 * 12 * 3 + 32 * 40 * 3
    # half of the organ's pixels would be wrong if it came back turned, mirrored or shifted
    for item, prediction in zip(data, predictions, strict=True):
        truth = by_hand(item)[0]
        assert sklearn.f1_score(truth.ravel() > 0, prediction.ravel() > 0) > 0.75


def test_no_organ_anywhere_leaves_figures_undefined(tmp_path):
    evaluate(write(tmp_path)[2:], tmp_path / "out")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["dice_liver_by_case_over_cases_with_it"] is None
    assert metrics["roc_auc_liver_by_voxel_of_the_network"] is None
    assert metrics["dice_mean_of_organs_by_case"] is None and not (tmp_path / "out" / "best.png").exists()
