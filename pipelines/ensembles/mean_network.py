"""A network that is the mean of others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.data import MetaTensor
from monai.transforms import MeanEnsemble
from monai.utils import convert_to_dst_type
from torch import nn


class MeanNetwork(nn.Module):
    """Several networks of one class as one: it gives the logit of the mean of their probabilities.

    So it takes the place of a single network: the sigmoid of what it gives is that mean, and so thresholds,
    temperatures and all that comes after the network see it as they see a single network's probability.

    Args:
        networks: that give logits.
    """

    def __init__(self, networks: Sequence[nn.Module]):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.mean = MeanEnsemble()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Images of shape (N, C, H, W) to logits, float32 of the shape that the networks give, within +-88."""
        tensor = image.as_tensor() if isinstance(image, MetaTensor) else image
        logits = torch.stack([network(tensor) for network in self.networks]).float()
        # log(p / (1 - p)), with a mean for 1 - p too: near 1 a float cannot tell p from 1
        means = [torch.as_tensor(self.mean(torch.sigmoid(sign * logits))) for sign in (1, -1)]
        inside, outside = (mean.clamp_min(torch.finfo(torch.float32).tiny).log() for mean in means)
        return convert_to_dst_type(inside - outside, image)[0] if isinstance(image, MetaTensor) else inside - outside
