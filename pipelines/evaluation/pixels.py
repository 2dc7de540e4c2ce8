"""What the probabilities of all pixels say, kept as counts by image and bin of probability.

From these follow, without the probabilities, every metric of overlap at every threshold, and how far a probability can
be trusted.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from transforms.files.atomic import atomic_write

from .metric_table import dice, ratio

# Bins of one hundredth, for thresholds; the first and the last, in which most pixels lie, by quarters of the logit too,
# or a temperature would be fitted to their means alone
TAIL = expit(np.arange(-16, -4.5, 0.25))
EDGES = np.unique(np.concatenate([np.arange(100) / 100, TAIL, 1 - TAIL]).astype(np.float32))
BINS = len(EDGES)
THRESHOLDS = np.arange(1, 100) / 100
COARSE = 20  # bins of the reliability diagram, as MONAI's CalibrationErrorMetric has by default


class Pixels(NamedTuple):
    """Pixels by image and bin of probability.

    Attributes:
        counts: pixels, (images, BINS).
        inside: those of them that the truth marks, (images, BINS).
        sums: of their probabilities, (images, BINS).
    """

    counts: npt.NDArray[np.float64]
    inside: npt.NDArray[np.float64]
    sums: npt.NDArray[np.float64]

    def keep(self, path: os.PathLike | str) -> None:
        """Write them, compressed."""
        with atomic_write(path, "wb") as file:
            np.savez_compressed(file, **self._asdict())

    @classmethod
    def load(cls, path: os.PathLike | str) -> Pixels:
        """Read what :meth:`keep` wrote."""
        with np.load(path, allow_pickle=False) as content:
            return cls(*(content[name] for name in cls._fields))


def count_pixels(probability: npt.NDArray, truth: npt.NDArray) -> Pixels:
    """Count the pixels of one image.

    Args:
        probability: of any shape, 0 to 1.
        truth: of the same shape; above 0 is inside.
    """
    flat, inside = np.asarray(probability, np.float32).ravel(), np.asarray(truth).ravel() > 0
    # not monai.metrics.calibration_binning: its edges lie one rounding above these, on the wrong side of a threshold
    bins = np.minimum(np.searchsorted(EDGES, flat, side="right") - 1, BINS - 1)
    weights = (None, inside, flat)
    return Pixels(*(np.bincount(bins, part, BINS).astype(float)[None] for part in weights))


def gather(images: list[Pixels]) -> Pixels:
    """Those of several images as one table."""
    return Pixels(*(np.concatenate(parts) for parts in zip(*images, strict=True)))


def by_threshold(pixels: Pixels) -> pd.DataFrame:
    """The metrics that depend on the threshold, a row each from 0.01 to 0.99, each named after what it is over."""
    called = pixels.counts[:, ::-1].cumsum(1)[:, ::-1]
    tp = pixels.inside[:, ::-1].cumsum(1)[:, ::-1]
    fp, fn = called - tp, tp[:, :1] - tp
    positive = tp[:, 0] > 0
    pooled = tp.sum(0), fp.sum(0), fn.sum(0)
    columns = {
        "dice_by_image_over_positives": dice(tp, fp, fn)[positive].mean(0) if positive.any() else np.nan,
        "dice_pooled_over_all": dice(*pooled),
        "precision_pooled_over_all": ratio(pooled[0], pooled[0] + pooled[1]),
        "recall_pooled_over_all": ratio(pooled[0], pooled[0] + pooled[2]),
        "false_positive_rate_by_image_over_negatives": (fp[~positive] > 0).mean(0) if (~positive).any() else np.nan,
    }
    places = np.searchsorted(EDGES, THRESHOLDS.astype(np.float32))
    return pd.DataFrame(columns).iloc[places].set_axis(pd.Index(THRESHOLDS, name="threshold"))


def reliability(pixels: Pixels, temperature: float = 1.0) -> pd.DataFrame:
    """Of COARSE bins of probability: how many pixels, their mean probability, and the share that is inside.

    Args:
        pixels: those of all images count as one.
        temperature: that logits are divided by first (Guo, ICML 2017); the pixels of one fine bin are taken together.

    Returns:
        columns ``pixels``, ``probability`` and ``inside``; bins without a pixel are left out.
    """
    counts, inside, sums = (part.sum(0) for part in pixels)
    probability = _scaled(ratio(sums, counts), temperature)
    bins = np.clip((np.nan_to_num(probability) * COARSE).astype(int), 0, COARSE - 1)
    table = pd.DataFrame({"pixels": counts, "sum": np.nan_to_num(probability) * counts, "inside": inside})
    table = table[counts > 0].groupby(bins[counts > 0]).sum()
    return pd.DataFrame(
        {
            "pixels": table["pixels"],
            "probability": table["sum"] / table["pixels"],
            "inside": table["inside"] / table["pixels"],
        }
    )


def calibration_errors(table: pd.DataFrame) -> dict[str, float]:
    """Expected and maximum calibration error of a :func:`reliability`, 0 to 1."""
    gap = (table["probability"] - table["inside"]).abs()
    return {
        "expected_calibration_error_pooled_over_all": float((gap * table["pixels"]).sum() / table["pixels"].sum()),
        "maximum_calibration_error_pooled_over_all": float(gap.max()),
    }


def fit_temperature(pixels: Pixels) -> float:
    """The temperature under which the pixels are likeliest: above 1, the model was surer than it should have been.

    Args:
        pixels: of images that were not trained on.
    """
    counts, inside, sums = (part.sum(0) for part in pixels)
    some = counts > 0
    counts, inside, probability = counts[some], inside[some], sums[some] / counts[some]

    def unlikely(log_temperature: float) -> float:
        scaled = _scaled(probability, np.exp(log_temperature))
        return float(-(inside * np.log(scaled) + (counts - inside) * np.log1p(-scaled)).sum() / counts.sum())

    return float(np.exp(minimize_scalar(unlikely, bounds=(-3, 3), method="bounded").x))


def _scaled(probability: npt.NDArray, temperature: float) -> npt.NDArray:
    edge = 1e-7  # float32 rounds to 0 and 1 what is not
    return expit(logit(np.clip(probability, edge, 1 - edge)) / temperature)
