"""The Dice that a mask probably has, by a fit on the validation split; or that the fit knows no such mask."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
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
    of them, or an image that the network sees as unlike them, nothing is predicted.

    Args:
        features: of the mask, see :func:`transforms.mask_features`; and ``distance`` of the image, see
            :func:`distance`, where the fit has a ``likeness``.
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
    likeness = quality.get("likeness")
    if likeness is not None and features["distance"] > likeness["limit"]:
        found, limit = features["distance"], likeness["limit"]
        reasons.append(f"the image is unlike those of the fit: {found:.2f} from them, and up to {limit:.2f} is usual")
    if reasons:
        return {**nothing, "reasons": reasons}
    error = float(np.exp(quality["intercept"] + quality["slope"] * log_error(features["expected_dice"])))
    factor = float(np.exp(quality["half_width"]))
    dice, low, high = (round(float(np.clip(1 - e, 0, 1)), 4) for e in (error, error * factor, error / factor))
    if high >= 1 - SMALLEST_ERROR:  # errors below it counted as it in the fit, so that a perfect mask is one of these
        high = 1.0
    return {"predicted_dice": dice, "interval": [low, high], "level": quality["level"], "outside": False, "reasons": []}


def distance(bottom: npt.ArrayLike, likeness: Mapping[str, Any]) -> npt.NDArray:
    """How unlike images are to those of a fit: the mean square of what the network makes of them, in deviations of it.

    Args:
        bottom: features of images at the bottom of the network, of shape (..., features).
        likeness: the ``mean`` and the ``scale`` of each feature over images of the fit.

    Returns:
        of shape (...), about 1 for such images.

    Raises:
        DataError: if there are more or fewer features than those of the fit.
    """
    values, mean = np.asarray(bottom, float), np.asarray(likeness["mean"], float)
    if values.shape[-1] != len(mean):
        raise DataError(
            f"predicted Dice was fitted with {len(mean)} features of a network, and this one has {values.shape[-1]}: "
            "run calibrate for these weights."
        )
    return np.square((values - mean) / np.asarray(likeness["scale"], float)).mean(axis=-1)


def log_error(dice: Any) -> Any:
    """The logarithm of 1 - Dice, of a number or an array."""
    return np.log(np.maximum(1 - np.asarray(dice, float), SMALLEST_ERROR))


class PredictDiced(MapTransform):
    """Adds ``quality``, see :func:`predict_dice`, to ``check``. Does nothing where nothing was fitted.

    It must stand where image and prediction still have the grid of the network.

    Args:
        keys: probabilities of shape (1, x, y).
        quality: what was fitted to the weights, or None.
        threshold: of the mask. Where it is not the one of the fit, that is said in place of a number.
        bottom: gives what the network makes of an image of shape (1, x, y) at its bottom; for a fit with a likeness.
        image_key: the image.

    Raises:
        DataError: if the fit is not whole.
    """

    def __init__(
        self,
        keys: KeysCollection,
        quality: Mapping[str, Any] | None,
        threshold: float,
        bottom: Callable[[Any], Sequence[float]] | None = None,
        image_key: str = "image",
    ):
        super().__init__(keys)
        if quality is not None and not _is_whole(quality):
            raise DataError("the JSON file beside the weights holds a damaged quality. Copy it again, or fit it again.")
        self.quality = quality
        self.threshold = threshold
        self.bottom = bottom
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d) if self.quality else ():
            d["check"] = {**d.get("check", {}), "quality": self._predicted(d.get(self.image_key), d[key])}
        return d

    def _predicted(self, image: Any, prediction: Any) -> dict[str, Any]:
        assert self.quality is not None
        features = mask_features(np.asarray(prediction[0].detach().cpu()), self.threshold)
        if (likeness := self.quality.get("likeness")) is not None:
            if self.bottom is None:
                raise DataError(
                    "predicted Dice was fitted with a likeness of images, and PredictDiced has no bottom: give it "
                    '{"_target_": "networks.BottomFeatures", "network": "@network_def"}.'
                )
            features["distance"] = float(distance(self.bottom(image), likeness))
        found = predict_dice(features, self.quality)
        if not np.isclose(fitted := self.quality["threshold"], self.threshold):
            why = f"the mask was made at {self.threshold:.3f} of the network's probability, the fit at {fitted:.3f}"
            found |= {"predicted_dice": None, "interval": None, "outside": True, "reasons": [why]}
        return found


def _is_whole(quality: Any) -> bool:
    if not isinstance(quality, Mapping) or not quality.keys() >= PARTS:
        return False
    likeness = quality.get("likeness")
    return likeness is None or (isinstance(likeness, Mapping) and likeness.keys() >= {"mean", "scale", "limit"})
