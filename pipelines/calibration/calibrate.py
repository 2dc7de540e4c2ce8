"""Fits to a model how sure it may be: the temperature of its probabilities, and the Dice of a mask."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy.typing as npt
import pandas as pd

from ..evaluation.pixels import Pixels, calibration_errors, fit_temperature, reliability
from ..resuming.saved_model import add_to_model
from .quality import TooFewError, fit_quality

logger = logging.getLogger(__name__)


def calibrate(
    weights: Path,
    sha256: str,
    pixels: Pixels,
    cases: pd.DataFrame,
    threshold: float,
    data: str,
    images: Sequence[str],
    bottom: npt.NDArray | None = None,
) -> None:
    """Write ``temperature``, ``quality``, ``calibrated_on`` and ``calibrated_images`` into the file beside a model.

    With too few cases there is no ``quality``, and the log says so; what an earlier calibration left is taken out.

    Args:
        weights: the model.
        sha256: of the weights that were evaluated.
        pixels: of their evaluation on images that were not trained on.
        cases: of the same, as of :func:`pipelines.calibration.quality.fit_quality`.
        threshold: that masks were made with.
        data: which images these are, in words.
        images: a sample of them, see :func:`pipelines.resuming.sample.sample_of`.
        bottom: as of :func:`pipelines.calibration.quality.fit_quality`.

    Raises:
        WeightsError: as :func:`pipelines.resuming.saved_model.add_to_model`.
    """
    temperature = fit_temperature(pixels)
    before, after = (
        calibration_errors(reliability(pixels, t))["expected_calibration_error_pooled_over_all"]
        for t in (1.0, temperature)
    )
    logger.info("fitted on %s", data)
    logger.info("temperature %.3f: expected calibration error %.4f before, %.4f after", temperature, before, after)
    try:
        quality = fit_quality(cases, threshold, bottom)
        logger.info(
            "predicted Dice: fitted to %d cases; 1 - Dice of %d others within a factor of %.2f at %.0f %%",
            *(quality["cases"]["fitted"], quality["cases"]["calibrated"]),
            *(math.exp(quality["half_width"]), 100 * quality["level"]),
        )
    except TooFewError as error:
        quality = None
        logger.warning("no Dice will be predicted: %s", error)
    fitted = {"temperature": temperature, "quality": quality, "calibrated_on": data, "calibrated_images": list(images)}
    logger.info("wrote %s", add_to_model(weights, sha256, fitted))
