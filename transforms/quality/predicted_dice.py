"""The Dice that a mask probably has, by a fit on the validation split; or that the fit knows no such mask."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform

from ..errors import DataError
from .features import mask_features

PARTS = {"features", "limit", "intercept", "slope", "half_width", "level", "threshold"}  # of a fit
SMALLEST_ERROR = 1e-3  # of 1 - Dice: what is nearer to 0 has no logarithm worth having


def predict_dice(features: Mapping[str, float], quality: Mapping[str, Any]) -> dict[str, Any]:
    """The Dice that a mask probably has, and an interval that holds the true one as often as ``level`` says.

    That is so for images like those of the validation split (split conformal prediction; Lei et al., Journal of the
    American Statistical Association 2018;113:1094-1111). Of a mask that lies farther from what was seen there than any
    of them, nothing is predicted.

    Args:
        features: of the mask, see :func:`transforms.mask_features`.
        quality: what :func:`pipelines.calibration.quality.fit_quality` gave.

    Returns:
        ``predicted_dice`` and ``interval`` [low, high], 0 to 1, or None; ``level``; ``outside``, whether the mask is
        outside what the fit knows; ``reasons``, why, in words.
    """
    nothing = {"predicted_dice": None, "interval": None, "level": quality["level"], "outside": True}
    if features["area"] == 0:
        return {**nothing, "reasons": ["nothing is marked"]}
    reasons = []
    for name, known in quality["features"].items():
        if abs(features[name] - known["mean"]) > quality["limit"] * known["scale"]:
            low, high = known["seen"]
            reasons.append(f"{name} is {features[name]:.3f}, and {low:.3f} to {high:.3f} was seen")
    if reasons:
        return {**nothing, "reasons": reasons}
    error = float(np.exp(quality["intercept"] + quality["slope"] * log_error(features["expected_dice"])))
    factor = float(np.exp(quality["half_width"]))
    dice, low, high = (round(float(np.clip(1 - e, 0, 1)), 4) for e in (error, error * factor, error / factor))
    if high >= 1 - SMALLEST_ERROR:  # errors below it counted as it in the fit, so that a perfect mask is one of these
        high = 1.0
    return {"predicted_dice": dice, "interval": [low, high], "level": quality["level"], "outside": False, "reasons": []}


def log_error(dice: Any) -> Any:
    """The logarithm of 1 - Dice, of a number or an array."""
    return np.log(np.maximum(1 - np.asarray(dice, float), SMALLEST_ERROR))


class PredictDiced(MapTransform):
    """Adds ``quality``, see :func:`predict_dice`, to ``check``. Does nothing where nothing was fitted.

    It must stand where the prediction still has the grid of the network.

    Args:
        keys: probabilities of shape (1, x, y).
        quality: what was fitted to the weights, or None.
        threshold: of the mask. Where it is not the one of the fit, that is said in place of a number.

    Raises:
        DataError: if the fit is not whole.
    """

    def __init__(self, keys: KeysCollection, quality: Mapping[str, Any] | None, threshold: float):
        super().__init__(keys)
        if quality is not None and (not isinstance(quality, Mapping) or not quality.keys() >= PARTS):
            raise DataError("the JSON file beside the weights holds a damaged quality. Copy it again, or fit it again.")
        self.quality = quality
        self.threshold = threshold

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d) if self.quality else ():
            d["check"] = {**d.get("check", {}), "quality": self._predicted(np.asarray(d[key][0].detach().cpu()))}
        return d

    def _predicted(self, probability: np.ndarray) -> dict[str, Any]:
        assert self.quality is not None
        found = predict_dice(mask_features(probability, self.threshold), self.quality)
        if not np.isclose(fitted := self.quality["threshold"], self.threshold):
            why = f"the mask was made at {self.threshold:.3f} of the network's probability, the fit at {fitted:.3f}"
            found |= {"predicted_dice": None, "interval": None, "outside": True, "reasons": [why]}
        return found
