"""Fits what tells one kind of image from others, by the features of a trained network."""

from __future__ import annotations

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

FALSE_ALARMS = 0.003  # of the kind, that are taken for others
PENALTY = 0.01  # scikit-learn's C: there are more features than images of some kinds
FOLDS, LEAST = 5, 20
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


def features_of(bundle: Bundle, weights: os.PathLike | str, folders: Sequence[os.PathLike | str]) -> np.ndarray:
    """What the network makes of the images in folders: :func:`networks.bottom_features`, of shape (images, features).

    Raises:
        DataError: if a folder has no image that the bundle takes, or an image cannot be read.
        WeightsError: if the weights are missing or do not fit.
    """
    parser = bundle.read(["inference"], weights=str(weights))
    inference, reader = Inference(parser, boxes=False), parser.get_parsed_content("reader")
    cases = []
    for folder in folders:
        found = index_images(Path(folder), reader).cases
        if not found:
            raise DataError(f"{folder}: has no image that {bundle.name} takes.")
        cases += [case.image for case in found]

    def read(image: Any) -> dict:
        return inference.read({"image": image})

    def features(batch: Sequence[dict]) -> Sequence[np.ndarray]:
        images = torch.stack([torch.as_tensor(np.asarray(data["image"])) for data in batch])
        return list(bottom_features(inference.network, images).numpy())

    return np.stack([row for _, row in flow(cases, read, features, np.asarray, cores(), BATCH_SIZE)])
