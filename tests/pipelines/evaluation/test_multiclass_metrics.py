"""Metrics of classes against scikit-learn and MONAI, and the error that the histograms of ROC may make."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn

from pipelines import MeanOfOrgans
from pipelines.evaluation.multiclass_metrics import BINS, RocHistograms, confusion_matrix, overlap_by_class

CLASSES = 4


@pytest.fixture(scope="module")
def volumes():
    """Probabilities (N, classes, x, y) and truths (N, 1, x, y) of three batches; class 3 is rare."""
    rng = np.random.default_rng(2)
    batches = []
    for _ in range(3):
        truth = rng.choice(CLASSES, (2, 1, 9, 7), p=[0.6, 0.25, 0.14, 0.01])
        logits = rng.normal(0, 2, (2, CLASSES, 9, 7)) + 2.0 * (truth == np.arange(CLASSES)[:, None, None])
        batches.append((torch.from_numpy(logits).float().softmax(dim=1), torch.from_numpy(truth.astype(np.uint8))))
    return batches


def flat(volumes):
    probabilities = np.concatenate([p.movedim(1, -1).reshape(-1, CLASSES).numpy() for p, _ in volumes])
    return probabilities, np.concatenate([t.numpy().ravel() for _, t in volumes])


def test_counts_dice_and_iou_are_scikit_learn_s(volumes):
    counts = sum(confusion_matrix(t[:, 0], p.argmax(dim=1), CLASSES) for p, t in volumes)
    probabilities, truth = flat(volumes)
    predicted = probabilities.argmax(axis=1)
    assert np.array_equal(counts, sklearn.confusion_matrix(truth, predicted))
    by_class = overlap_by_class(counts)
    assert by_class["dice"] == pytest.approx(sklearn.f1_score(truth, predicted, average=None))
    assert by_class["iou"] == pytest.approx(sklearn.jaccard_score(truth, predicted, average=None))


def test_a_row_is_a_true_class_and_what_is_nowhere_has_no_dice():
    counts = confusion_matrix(torch.tensor([[0, 0, 1]]), torch.tensor([[0, 1, 1]]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    by_class = overlap_by_class(counts)
    assert by_class["dice"] == pytest.approx([2 / 3, 2 / 3, np.nan], nan_ok=True)
    assert by_class["iou"] == pytest.approx([1 / 2, 1 / 2, np.nan], nan_ok=True)


def test_labels_and_grids_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2\).*\(2, 1\)"):
        confusion_matrix(torch.zeros(2, 1), torch.zeros(1, 2), 2)
    with pytest.raises(ValueError, match="labels run from 0 to 5, not from 0 to 4"):
        confusion_matrix(torch.tensor([[0], [5]]), torch.tensor([[0], [1]]), 5)


def test_roc_auc_is_scikit_learn_s_within_the_stated_error(volumes):
    roc = RocHistograms(CLASSES)
    for probabilities, truth in volumes:
        roc.add(probabilities, truth)
    probabilities, truth = flat(volumes)
    for number in range(CLASSES):
        area, error = roc.area(number)
        exact = sklearn.roc_auc_score(truth == number, probabilities[:, number])
        assert abs(area - exact) <= error + 1e-12 and error < 1e-3
        false, true = roc.curve(number)
        assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
        assert np.trapezoid(true, false) if hasattr(np, "trapezoid") else np.trapz(true, false) == pytest.approx(area)


def test_the_stated_error_holds_where_bins_hold_many():
    rng = np.random.default_rng(0)
    score = torch.from_numpy(0.3 + rng.random(4000) * 1e-3).float()  # a few bins only
    truth = torch.from_numpy((rng.random(4000) < 0.3 + 200 * (score.numpy() - 0.3)).astype(np.uint8))
    roc = RocHistograms(2)
    roc.add(torch.stack([1 - score, score])[None], truth[None, None])
    area, error = roc.area(1)
    exact = sklearn.roc_auc_score(truth.numpy(), score.numpy())
    assert 1e-5 < abs(area - exact) <= error < 0.5
    tied = RocHistograms(2)
    tied.add(torch.full((1, 2, 4000), 0.5), truth[None, None])
    assert tied.area(1) == (sklearn.roc_auc_score(truth.numpy(), np.full(4000, 0.5)), 0.5)  # 0.5, and all that can be


def test_probabilities_near_0_and_1_are_told_apart():
    """Where a network is sure, as it is of most voxels of a CT, ranks still count."""
    sure = torch.tensor([1e-30, 1e-20, 1e-9, 0.5, 1 - 1e-3, 1 - 1e-4, 1 - 1e-6, 1.0])
    truth = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1], dtype=torch.uint8)
    roc = RocHistograms(2)
    roc.add(torch.stack([1 - sure, sure])[None], truth[None, None])
    assert roc.area(1) == (sklearn.roc_auc_score(truth.numpy(), sure.numpy()), 0)


def test_extremes_have_bins_and_a_class_without_voxels_has_no_area():
    roc = RocHistograms(3)
    extremes = torch.tensor([[0.0, 1.0], [-0.0, 0.0], [1.0, 0.0]])[None]  # (N, classes, voxels)
    roc.add(extremes, torch.tensor([[[2, 0]]], dtype=torch.uint8))
    assert roc.counts.shape == (3, 2, BINS) and roc.counts.sum() == 6
    assert roc.area(2) == (1, 0) and all(np.isnan(roc.area(1))) and np.isnan(roc.curve(1)[1]).all()


@pytest.mark.parametrize(("name", "score"), [("f1 score", sklearn.f1_score), ("threat score", sklearn.jaccard_score)])
def test_mean_of_organs_pools_all_slices(volumes, name, score):
    metric = MeanOfOrgans(name)
    for probabilities, truth in volumes:
        predicted = probabilities.argmax(dim=1)
        hot = [torch.nn.functional.one_hot(t.long(), 5).movedim(-1, 1) for t in (predicted, truth[:, 0])]
        metric(*hot)  # of five classes, the last of which is nowhere
    probabilities, truth = flat(volumes)
    expected = score(truth, probabilities.argmax(axis=1), average=None)[1:].mean()
    assert metric.aggregate().item() == pytest.approx(expected, abs=1e-6)
