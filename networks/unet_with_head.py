"""MONAI's UNet with a linear head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets import UNet
from torch import nn

from .sizes import check_size


class UNetWithHead(UNet):
    """MONAI's UNet with a last convolution that sees all features and gives the logits.

    With residual units MONAI's UNet brings the features down to ``out_channels`` and sends these through norm and
    activation before its last convolution. With one class, everything it has learnt passes through one rectified
    channel: trained on lungs it stayed unsure of what it marked, and learnt more slowly. Here the UNet gives
    ``channels[0]`` features, and a convolution of 3 x 3 makes the logits of them.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the image.
        out_channels: one a class.
        channels: features by level.
        strides: between the levels.
        kwargs: further arguments of MONAI's UNet.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int],
        strides: Sequence[int],
        **kwargs: Any,
    ):
        super().__init__(spatial_dims, in_channels, channels[0], channels, strides, **kwargs)
        self.step = math.prod(strides)
        convolution = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
        self.head = convolution(channels[0], out_channels, kernel_size=3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images of shape (N, C, H, W[, D]) to logits of shape (N, out_channels, H, W[, D]).

        Raises:
            SizeError: if H or W is not a multiple of the product of the strides.
        """
        if not torch.jit.is_scripting():  # which cannot compile the message
            check_size(x.shape[2], x.shape[3], self.step)
        return self.head(self.model(x))
