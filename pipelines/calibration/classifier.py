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
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from networks import bottom_features
from transforms import DataError, index_images

from ..bundle import Bundle
from ..engines.flow import cores, flow
from ..prediction.model import Inference

logger = logging.getLogger(__name__)

FALSE_ALARMS = 0.003  # of the kind, that are taken for others
PENALTY = 0.01  # scikit-learn's C: there are more features than images of some kinds
FOLDS, LEAST = 5, 20
TURNED = 30  # frontal radiographs that are turned to be others
BATCH_SIZE = 16


def fit_classifier(
    features: np.ndarray,
    of_kind: np.ndarray,
    sources: np.ndarray | None = None,
    counted: np.ndarray | None = None,
    false_alarms: float = FALSE_ALARMS,
) -> dict[str, Any]:
    """Fit a linear classifier, for :class:`networks.ImageClassifier`.

    Logistic regression on standardised features, both kinds weighing the same. Each image is then judged by a fit on
    the other folds: that gives the probabilities their scale (Platt 1999), and the threshold.

    Args:
        features: of each image, of shape (images, features).
        of_kind: of each image, whether it is of the kind.
        sources: of each image, a number for what it was made from: images of one source are in one fold. By default
            each is its own.
        counted: of each image, whether it counts in what is said of the fit. By default all do.
        false_alarms: the share of those of the kind that may lie below the threshold, 0 to 1.

    Returns:
        ``weights``, ``bias`` and ``threshold``; and by the fits on other folds, of what counts, ``false_alarms`` and
        ``found``, the shares of the kind and of the others below the threshold, and of how many ``images`` and
        ``others``.

    Raises:
        DataError: if fewer than 20 images of either kind count.
    """
    of_kind = np.asarray(of_kind, bool)
    counted = np.ones(len(features), bool) if counted is None else counted
    kind, other = of_kind & counted, ~of_kind & counted
    if min(kind.sum(), other.sum()) < LEAST:
        raise DataError(f"{kind.sum()} images of the kind and {other.sum()} others: give at least {LEAST} of each.")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=5000))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    sources = np.arange(len(features)) if sources is None else sources
    judged = cross_val_predict(model, features, of_kind, groups=sources, cv=folds, method="decision_function")
    scale = LogisticRegression(C=1e6, max_iter=5000).fit(judged[:, None], of_kind)
    slope, offset = float(scale.coef_[0, 0]), float(scale.intercept_[0])
    probability = expit(slope * judged + offset)
    threshold = float(np.quantile(probability[kind], false_alarms, method="lower"))
    scaler, regression = model.fit(features, of_kind)
    weights = regression.coef_[0] / scaler.scale_
    bias = regression.intercept_[0] - weights @ scaler.mean_
    return {
        "weights": [round(float(weight), 7) for weight in slope * weights],
        "bias": float(slope * bias + offset),
        "threshold": threshold,
        "false_alarms": float((probability[kind] < threshold).mean()),
        "found": float((probability[other] < threshold).mean()),
        "images": int(kind.sum()),
        "others": int(other.sum()),
    }


def fit_frontal(
    bundle: Bundle,
    weights: os.PathLike | str,
    frontal: Sequence[os.PathLike | str],
    others: Sequence[os.PathLike | str],
    overlays: Sequence[str] = (),
    **overrides: Any,
) -> dict[str, Any]:
    """Fit what tells frontal chest radiographs from other images, for :class:`transforms.CheckFrontald`.

    Some of the frontal ones, turned by one, two and three quarters, are learnt from as others: masks of them are no
    good. What is said of the fit does not count them.

    Args:
        bundle: whose network is used.
        weights: of that network.
        frontal: folders of frontal chest radiographs.
        others: folders of other images that may come by mistake, such as lateral radiographs and pictures of CT.
        overlays: of the bundle's inference.
        overrides: of its configuration.

    Returns:
        as :func:`fit_classifier`.

    Raises:
        DataError: if a folder has no image that the bundle takes, an image cannot be read, or there are too few.
        WeightsError: if the weights are missing or do not fit.
    """
    parser = bundle.read(["inference", *overlays], weights=str(weights), **overrides)
    inference, reader = Inference(parser, boxes=False), parser.get_parsed_content("reader")
    kind, other = (_images(folders, reader, bundle) for folders in (frontal, others))
    turned = kind[:: max(1, len(kind) // TURNED)]
    logger.info("frontal check: %d frontal images and %d others are read", len(kind), len(other))
    parts = [features_of(inference, images) for images in (kind, other)]
    parts += [features_of(inference, turned, quarters) for quarters in (1, 2, 3)]
    numbers = np.arange(len(kind))
    again = numbers[:: max(1, len(kind) // TURNED)]
    fitted = fit_classifier(
        np.concatenate(parts),
        np.arange(sum(map(len, parts))) < len(kind),
        np.concatenate([numbers, len(kind) + np.arange(len(other)), again, again, again]),
        np.arange(sum(map(len, parts))) < len(kind) + len(other),
    )
    logger.info(
        "frontal check, cross-validated: %.1f %% of %d other images found, %.1f %% false alarms of %d frontal ones",
        *(100 * fitted["found"], fitted["others"], 100 * fitted["false_alarms"], fitted["images"]),
    )
    if len(kind) * FALSE_ALARMS < 1:
        logger.warning(
            "of %d frontal images no rate of false alarms below %.1f %% can be seen", len(kind), 100 / len(kind)
        )
    return fitted


def _images(folders: Sequence[os.PathLike | str], reader: Any, bundle: Bundle) -> list[Any]:
    images: list[Any] = []
    for folder in folders:
        index = index_images(Path(folder), reader)
        index.log_left_out()
        if not index.cases:
            raise DataError(f"{folder}: has no image that {bundle.name} takes.")
        images += [case.image for case in index.cases]
    return images


def features_of(inference: Inference, images: Sequence[Any], quarters: int = 0) -> np.ndarray:
    """What a network makes of images: :func:`networks.bottom_features`, of shape (images, features).

    Args:
        inference: has the network, and what comes before it.
        images: as the network's bundle reads them.
        quarters: of a turn, by which the images are turned before.
    """

    def read(image: Any) -> torch.Tensor:
        return torch.as_tensor(np.asarray(inference.read({"image": image})["image"])).rot90(quarters, (1, 2))

    def features(batch: Sequence[torch.Tensor]) -> Sequence[np.ndarray]:
        return list(bottom_features(inference.network, torch.stack(list(batch))).numpy())

    return np.stack([row for _, row in flow(images, read, features, np.asarray, cores(), BATCH_SIZE)])
