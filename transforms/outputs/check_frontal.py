"""Tells from the lungs that were found whether an image can be a frontal chest radiograph."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from scipy.ndimage import center_of_mass, label

from ..files.atomic import atomic_write
from .save_file import SaveFiled

logger = logging.getLogger(__name__)

# Bounds of what lungs on frontal radiographs look like, in the grid of the network
AREA = (0.04, 0.60)  # of both lungs, as a fraction of the grid
SMALLER = 0.22  # the smaller lung's area over the larger one's
LEVEL = 0.55  # the lungs' distance up or down over that to the side
LEAST_AREA = 0.02  # of both lungs, if a classifier has found the image frontal
CERTAIN = 0.55  # the share of pixels called at all (above 0.1) that are called with certainty (above 0.9)


def frontal_check(probability: np.ndarray) -> dict[str, Any]:
    """Whether two lungs lie side by side as on a frontal chest radiograph.

    Args:
        probability: of lung, shape (x, y), 0 to 1.

    Returns:
        ``frontal`` (bool), ``reasons`` (why not, in words) and the measures that they come from.
    """
    parts, _ = label(probability >= 0.5)
    sizes = np.bincount(parts.ravel(), minlength=3)[1:]
    first, second = np.argsort(sizes)[::-1][:2] + 1
    area, smaller = sizes.sum() / parts.size, sizes[second - 1] / max(sizes[first - 1], 1)
    called = (probability > 0.1).sum()
    certain = float((probability > 0.9).sum() / called) if called else 0.0
    reasons = []
    if not AREA[0] <= area <= AREA[1]:
        reasons.append(f"what looks like lung covers {area:.0%} of the image, not {AREA[0]:.0%} to {AREA[1]:.0%}")
    if smaller < SMALLER:
        reasons.append(f"no two lungs were found: the second largest part has {smaller:.0%} of the largest one's area")
    else:
        (x1, y1), (x2, y2) = center_of_mass(parts > 0, parts, [first, second])
        if abs(y1 - y2) > LEVEL * abs(x1 - x2):
            reasons.append("the two parts do not lie side by side")
    if certain < CERTAIN:
        reasons.append(f"only {certain:.0%} of what may be lung is certain")
    return {"frontal": not reasons, "reasons": reasons, "area": area, "smaller": smaller, "certain": certain}


def by_classifier(check: dict[str, Any], probability: float, threshold: float) -> dict[str, Any]:
    """A check by shape, decided by a classifier; but where next to nothing was found, there are no lungs to trust.

    Args:
        check: of :func:`frontal_check`.
        probability: that the image is a frontal chest radiograph.
        threshold: the least that such images have.
    """
    reasons = []
    if probability < threshold:
        reasons.append(
            f"it looks like another kind of image: frontal with a probability of {probability:.1%}, not of "
            f"{threshold:.1%} or more"
        )
    if check["area"] < LEAST_AREA:
        reasons.append(f"what looks like lung covers {check['area']:.0%} of the image")
    shape = {"shape": check["reasons"]} | {name: check[name] for name in ("area", "smaller", "certain")}
    return {"frontal": not reasons, "reasons": reasons, "probability": probability, **shape}


class CheckFrontald(MapTransform):
    """Adds ``check``, see :func:`frontal_check`, and warns in the log where an image seems to be something else.

    A classifier of images, where one is given and was fitted, decides in the place of the lungs' shape: ``frontal`` is
    what it says, ``probability`` how probable that is, and the shape is told beside it.

    It must stand where the prediction still has the grid of the network.

    Args:
        keys: probabilities of shape (1, x, y), MetaTensors that know the file of their image.
        classifier: of an image as the network sees it, (1, x, y), gives the probability that it is a frontal chest
            radiograph, and the least that such images have; or None.
        image_key: that image.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        classifier: Callable[[torch.Tensor], tuple[float, float] | None] | None = None,
        image_key: str = "image",
    ):
        super().__init__(keys)
        self.classifier = classifier
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            check = frontal_check(np.asarray(d[key][0].cpu()))
            judged = self.classifier(d[self.image_key]) if self.classifier else None
            if judged is not None:
                check = by_classifier(check, *judged)
            d["check"] = {**check, **d.get("check", {})}
            if not d["check"]["frontal"]:
                name = d[key].meta.get("filename_or_obj", "an image")
                logger.warning("%s: may not be a frontal chest radiograph: %s", name, "; ".join(d["check"]["reasons"]))
        return d


class SaveCheckd(SaveFiled):
    """Writes the check of each image as JSON beside its mask, where there is one.

    Args:
        keys: what knows the file of the image, a MetaTensor.
        layout: gives the name of each file.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return super().__call__(data) if "check" in data else dict(data)

    def write(self, data: Mapping[Hashable, Any], key: Hashable, path: Path) -> None:
        with atomic_write(path) as file:
            json.dump(data["check"], file, indent=2)
