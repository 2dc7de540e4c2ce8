"""Tells from the lungs that were found whether an image can be a frontal chest radiograph."""

from __future__ import annotations

import json
import logging
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
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


class CheckFrontald(MapTransform):
    """Adds ``check``, see :func:`frontal_check`, and warns in the log where an image seems to be something else.

    It must stand where the prediction still has the grid of the network.

    Args:
        keys: probabilities of shape (1, x, y), MetaTensors that know the file of their image.
    """

    def __init__(self, keys: KeysCollection = "pred"):
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d["check"] = {**frontal_check(np.asarray(d[key][0].cpu())), **d.get("check", {})}
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
