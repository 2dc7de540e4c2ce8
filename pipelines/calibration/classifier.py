"""Fits what tells one kind of image from others, by the features of a trained network."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from networks import bottom_features
from transforms import DataError, index_images

from ..bundle import Bundle
from ..prediction.flow import cores, flow
from ..prediction.model import Inference

logger = logging.getLogger(__name__)

FALSE_ALARMS = 0.003  # of the kind, that are taken for others
PENALTY = 0.01  # scikit-learn's C: there are more features than images of some kinds
FOLDS, LEAST = 5, 20
TURNED = 30  # frontal radiographs that are turned to be others
BATCH_SIZE = 16


def fit_classifier(features: np.ndarray, of_kind: np.ndarray, false_alarms: float = FALSE_ALARMS) -> dict[str, Any]:
    """Fit a linear classifier, for :class:`networks.ImageClassifier`.

    Logistic regression on standardised features, both kinds weighing the same. Each image is then judged by a fit on
    the other folds: that gives the probabilities their scale (Platt 1999), and the threshold.

    Args:
        features: of each image, of shape (images, features).
        of_kind: of each image, whether it is of the kind.
        false_alarms: the share of those of the kind that may lie below the threshold, 0 to 1.

    Returns:
        ``weights``, ``bias`` and ``threshold``; and by those fits, ``found``, the share of others below the threshold,
        and how many ``images`` of the kind and ``others`` there were.

    Raises:
        DataError: if there are fewer than 20 images of either kind.
    """
    of_kind = np.asarray(of_kind, bool)
    images, others = int(of_kind.sum()), int((~of_kind).sum())
    if min(images, others) < LEAST:
        raise DataError(f"{images} images of the kind and {others} others: give at least {LEAST} of each.")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=5000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    judged = cross_val_predict(model, features, of_kind, cv=folds, method="decision_function")
    scale = LogisticRegression(C=1e6, max_iter=5000).fit(judged[:, None], of_kind)
    slope, offset = float(scale.coef_[0, 0]), float(scale.intercept_[0])
    probability = expit(slope * judged + offset)
    threshold = float(np.quantile(probability[of_kind], false_alarms))
    scaler, regression = model.fit(features, of_kind)
    weights = regression.coef_[0] / scaler.scale_
    bias = regression.intercept_[0] - weights @ scaler.mean_
    return {
        "weights": [round(float(weight), 7) for weight in slope * weights],
        "bias": float(slope * bias + offset),
        "threshold": threshold,
        "found": float((probability[~of_kind] < threshold).mean()),
        "images": images,
        "others": others,
    }


def fit_frontal(
    bundle: Bundle,
    weights: os.PathLike | str,
    frontal: Sequence[os.PathLike | str],
    others: Sequence[os.PathLike | str],
) -> dict[str, Any]:
    """Fit what tells frontal chest radiographs from other images, for :class:`transforms.CheckFrontald`.

    Some of the frontal ones, turned by one, two and three quarters, count as others too: masks of them are no good.

    Args:
        bundle: whose network is used.
        weights: of that network.
        frontal: folders of frontal chest radiographs.
        others: folders of other images that may come by mistake, such as lateral radiographs and pictures of CT.

    Returns:
        as :func:`fit_classifier`.

    Raises:
        DataError, WeightsError: as :func:`features_of` and :func:`fit_classifier`.
    """
    kind = features_of(bundle, weights, frontal)
    every = max(1, len(kind) // TURNED)
    turned = [features_of(bundle, weights, frontal, quarters, every) for quarters in (1, 2, 3)]
    features = np.concatenate([kind, features_of(bundle, weights, others), *turned])
    fitted = fit_classifier(features, np.arange(len(features)) < len(kind))
    logger.info(
        "frontal check, cross-validated: %.1f %% of %d other images found at %.1f %% false alarms of %d frontal ones",
        *(100 * fitted["found"], fitted["others"], 100 * FALSE_ALARMS, fitted["images"]),
    )
    return fitted


def features_of(
    bundle: Bundle,
    weights: os.PathLike | str,
    folders: Sequence[os.PathLike | str],
    quarters: int = 0,
    every: int = 1,
) -> np.ndarray:
    """What the network makes of the images in folders: :func:`networks.bottom_features`, of shape (images, features).

    Args:
        bundle: whose network is used.
        weights: of that network.
        folders: whose images are taken.
        quarters: of a turn, by which the images are turned before.
        every: so many-th image is taken.

    Raises:
        DataError: if a folder has no image that the bundle takes, or an image cannot be read.
        WeightsError: if the weights are missing or do not fit.
    """
    parser = bundle.read(["inference"], weights=str(weights))
    inference, reader = Inference(parser, boxes=False), parser.get_parsed_content("reader")
    images: list[Any] = []
    for folder in folders:
        found = index_images(Path(folder), reader).cases
        if not found:
            raise DataError(f"{folder}: has no image that {bundle.name} takes.")
        images += [case.image for case in found]

    def read(image: Any) -> torch.Tensor:
        return torch.as_tensor(np.asarray(inference.read({"image": image})["image"])).rot90(quarters, (1, 2))

    def features(batch: Sequence[torch.Tensor]) -> Sequence[np.ndarray]:
        return list(bottom_features(inference.network, torch.stack(list(batch))).numpy())

    return np.stack([row for _, row in flow(images[::every], read, features, np.asarray, cores(), BATCH_SIZE)])
