"""Metrics of a segmentation into classes, gathered case by case in memory that does not grow with their number."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from monai.metrics import ConfusionMatrixMetric

from .metric_table import measure_overlap, ratio

# A bin of probabilities holds those that agree in exponent and first MANTISSA_BITS bits: 1024 bins for each halving of
# p below 0.5, and of 1 - p above.
MANTISSA_BITS = 10
SHIFT = 23 - MANTISSA_BITS  # float32 has 23
HALF = int(np.float32(0.5).view(np.int32)) >> SHIFT  # the bits of 0.5
BINS = 2 * HALF + 1


class MeanOfOrgans(ConfusionMatrixMetric):
    """MONAI's ConfusionMatrixMetric of each class over all pixels as one, and of these the mean without background.

    A class without a pixel in truth and prediction does not count. For ``monai.handlers.IgniteMetricHandler``.

    Args:
        metric_name: as MONAI's: ``"f1 score"`` is Dice, ``"threat score"`` is IoU.
    """

    def __init__(self, metric_name: str):
        super().__init__(include_background=False, metric_name=metric_name, reduction="sum_batch")

    def aggregate(self) -> torch.Tensor:  # type: ignore[override]  # one metric, not a list, and nothing to choose
        (values,) = super().aggregate()
        return cast(torch.Tensor, values).nanmean()


def confusion_matrix(truth: torch.Tensor, predicted: torch.Tensor, classes: int) -> np.ndarray:
    """Count the voxels of each class that are predicted as each class.

    MONAI counts one class against the rest, which does not show which class is taken for which.

    Args:
        truth: labels of shape (..., z), 0 to classes - 1.
        predicted: of the same shape.
        classes: how many there are, with the background.

    Returns:
        int64 of shape (classes, classes): a row a true class, a column a predicted one.

    Raises:
        ValueError: if the shapes differ, or a label is not one of the classes.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"the prediction is of shape {tuple(predicted.shape)}, the truth of {tuple(truth.shape)}.")
    counts = torch.zeros(classes * classes, dtype=torch.int64)
    for place in range(truth.shape[-1]):  # by slice: the pairs of a whole CT in 64 bits take gigabytes
        true, called = (labels[..., place].flatten().long() for labels in (truth, predicted))
        for labels in (true, called):
            if labels.min() < 0 or labels.max() >= classes:
                raise ValueError(f"labels run from {labels.min()} to {labels.max()}, not from 0 to {classes - 1}.")
        counts += torch.bincount(true * classes + called, minlength=classes * classes).cpu()
    return counts.reshape(classes, classes).numpy()


def overlap_by_class(counts: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of :data:`pipelines.evaluation.metric_table.OVERLAP` of each class, from a confusion matrix.

    Not a number where neither truth nor prediction has a voxel.
    """
    tp = np.diag(counts)
    return measure_overlap(tp, counts.sum(axis=0) - tp, counts.sum(axis=1) - tp)


class RocHistograms:
    """ROC curves of each class against the rest, from histograms of the probabilities.

    The memory is that of the histograms, 2 x BINS counts a class, however many voxels are added. Two voxels in
    different bins are ordered as their probabilities are. A positive and a negative in one bin count half, as if
    their probabilities were the same, where exactly they count 0, half or 1. So the area under the curve differs from
    the exact one of the float32 probabilities by at most half the share of such pairs: the sum over the bins of
    positives x negatives, over twice all positives x all negatives. This bound is given beside each area.

    Args:
        classes: how many there are.
    """

    def __init__(self, classes: int):
        self.counts = np.zeros((classes, 2, BINS), np.int64)  # negatives, positives

    def add(self, probabilities: torch.Tensor, truth: torch.Tensor) -> None:
        """Count voxels.

        Args:
            probabilities: float32 of shape (N, classes, ...), 0 to 1.
            truth: labels of shape (N, 1, ...).
        """
        bins = _bins(probabilities)
        for number in range(len(self.counts)):
            pairs = bins[:, number].flatten() + BINS * (truth[:, 0].flatten() == number)
            self.counts[number] += torch.bincount(pairs, minlength=2 * BINS).reshape(2, BINS).cpu().numpy()

    def curve(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """False and true positive rates of a class, both rising from 0 to 1, at the bins that hold a voxel.

        Not a number if it has no positives, or no negatives.
        """
        counts = self.counts[number][:, self.counts[number].any(axis=0)][:, ::-1]  # the most probable first
        rates = ratio(np.pad(counts.cumsum(axis=1), ((0, 0), (1, 0))), counts.sum(axis=1, keepdims=True))
        return rates[0], rates[1]

    def area(self, number: int) -> tuple[float, float]:
        """The area under a class's curve and by how much it can be wrong; not a number as :meth:`curve`."""
        negatives, positives = self.counts[number].astype(float)
        pairs = negatives.sum() * positives.sum()
        below = np.cumsum(negatives) - negatives
        tied = (positives * negatives).sum()
        area = ratio((positives * below).sum() + tied / 2, pairs)
        return float(area), float(ratio(tied / 2, pairs))


def _bins(probabilities: torch.Tensor) -> torch.Tensor:
    """The bin of each probability, int32, in their order. Positive floats are ordered as their bits are."""
    # 1 - p is exact from 0.5 on. Without the clamp a p of -0.0 would have the sign's bit.
    near_0 = probabilities.clamp(0, 1)
    near_1 = (1 - near_0).clamp(min=0)
    low, high = ((p.contiguous().view(torch.int32) >> SHIFT) for p in (near_0.abs(), near_1))
    return torch.where(near_0 < 0.5, low, 2 * HALF - high)
