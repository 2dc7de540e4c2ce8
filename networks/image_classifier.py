"""Tells one kind of image from others by what a segmentation network's contracting path has made of it."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Mapping
from typing import Any

import torch
from monai.networks.layers import SkipConnection
from monai.networks.nets import UNet
from torch import nn

from .weights import WeightsError


@torch.no_grad()
def bottom_features(network: UNet, images: torch.Tensor) -> torch.Tensor:
    """The mean and the greatest value of each channel at the bottom of a U-Net.

    In float32 and without hooks, so that the same image gives the same features on every processor and in every thread.

    Args:
        network: MONAI's, in evaluation mode.
        images: of shape (N, C, H, W), as the network takes them.

    Returns:
        float32 of shape (N, 2 * the channels of the lowest level), means first.
    """
    parameter = next(network.parameters())
    x, level = torch.as_tensor(images).to(parameter), network.model
    while isinstance(level, nn.Sequential) and len(level) > 1 and isinstance(level[1], SkipConnection):
        x, level = level[0](x), level[1].submodule
    x = level(x).cpu()
    return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)


class BottomFeatures:
    """:func:`bottom_features` of single images; a copy shares the network.

    Several threads may use it; it runs the network for one of them at a time. Each thread's last image is kept, so that
    whoever asks for the same image next does not wait.

    Args:
        network: that the features are of.
    """

    def __init__(self, network: UNet):
        self.network = network
        self.computing = threading.Lock()
        self.last = threading.local()

    def __deepcopy__(self, memo: dict[int, Any]) -> BottomFeatures:
        return self  # what changes in it is each thread's own, and a thread needs no network of its own

    def __call__(self, image: torch.Tensor) -> list[float]:
        """Of an image of shape (C, H, W), which is not changed afterwards."""
        if getattr(self.last, "image", None) is not image:
            with self.computing:
                self.last.features = bottom_features(self.network, torch.as_tensor(image)[None])[0].tolist()
            self.last.image = image
        return self.last.features


class ImageClassifier:
    """A linear classifier of images on the features of :func:`bottom_features`; a copy shares the network.

    Several threads may use it, as they may :class:`BottomFeatures`.

    Args:
        bottom: of the network that the classifier was fitted on the features of.
        fitted: ``weights``, one a feature, and ``bias``, whose sum is the logit of the image being of the kind; and
            ``threshold``, the probability below which it counts as another. None: nothing was fitted.

    Raises:
        WeightsError: if what was fitted is not whole.
        ValueError: from a call, if there are more or fewer weights than features.
    """

    def __init__(self, bottom: BottomFeatures, fitted: Mapping[str, Any] | None):
        if fitted is not None:
            _check(fitted)
        self.bottom = bottom
        self.fitted = fitted

    def __call__(self, image: torch.Tensor) -> tuple[float, float] | None:
        """Of an image of shape (C, H, W): the probability that it is of the kind, and the threshold, both 0 to 1."""
        if self.fitted is None:
            return None
        features = self.bottom(image)
        weights = self.fitted["weights"]
        if len(weights) != len(features):
            raise ValueError(f"the classifier has {len(weights)} weights, the network {len(features)} features.")
        logit = math.fsum(value * weight for value, weight in zip(features, weights, strict=True)) + self.fitted["bias"]
        return 1 / (1 + math.exp(-max(min(logit, 50.0), -50.0))), self.fitted["threshold"]


def _check(fitted: Any) -> None:
    """Refuse what a damaged JSON file may hold, before it fails image after image."""
    wrong = [
        name for name in ("bias", "threshold") if not (isinstance(fitted, Mapping) and _is_number(fitted.get(name)))
    ]
    weights = fitted.get("weights") if isinstance(fitted, Mapping) else None
    if not isinstance(weights, list) or not weights or not all(_is_number(weight) for weight in weights):
        wrong.insert(0, "weights")
    if wrong:
        raise WeightsError(
            f"the JSON file beside the weights holds a damaged classifier: its {', '.join(wrong)}. weights must be a "
            "list of finite numbers, bias and threshold one each. Copy the file again, or fit it again."
        )


def _is_number(value: Any) -> bool:
    """Whether it is one that a float can hold, and is finite."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
