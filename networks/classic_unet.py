"""The U-Net of 2015 as published, MONAI's networks of that name being later ones (residual, normalised, strided)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from .sizes import check_size


class ClassicUNet(nn.Module):
    """The 2D U-Net of Ronneberger, Fischer and Brox 2015, MICCAI, arXiv 1505.04597: 23 convolutional layers.

    Two 3 x 3 convolutions with ReLU on each of five levels down and four up, 2 x 2 max pooling, 2 x 2 up-convolutions
    that halve the features, skips by crop and copy, and a 1 x 1 convolution. No normalisation. Weights start as in the
    paper: normal with standard deviation sqrt(2 / N), N the inputs of one neuron; biases at 0. Where the paper is
    silent, this follows the network that its authors released: dropout of a half on the two lowest levels of the
    contracting path, before the skip. As in the text, and other than there, up-convolutions have no ReLU.

    ``padding`` and ``mirror`` change no weight: a state dict fits with any of them.

    Args:
        in_channels: of the images.
        out_channels: classes; the network returns logits.
        features: of each level, from the top; its length is the number of levels.
        padding: False: convolutions without padding, as published; the output is smaller than the input by 184 pixels
            (572 x 572 gives 388 x 388), and heights and widths must be a multiple of 16 less 4, from 188. True: padded
            with zeros; the output is as large as the input, and heights and widths must be a multiple of 16. (16 is
            for five levels.)
        mirror: without padding alone: extends the image by mirroring, so that images of any size give outputs of
            their size. It is the paper's overlap-tile strategy with one tile; more tiles would give the same.
        dropout: probability at the end of the contracting path.

    Raises:
        ValueError: if ``mirror`` is given with ``padding``, or there are fewer than two levels.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 2,
        features: Sequence[int] = (64, 128, 256, 512, 1024),
        padding: bool = False,
        mirror: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if padding and mirror:
            raise ValueError("mirror extends the image for a network without padding: set padding to false.")
        if len(features) < 2:
            raise ValueError(f"features is {list(features)}; it needs at least two levels.")
        self.padding, self.mirror = padding, mirror
        self.step = 2 ** (len(features) - 1)
        # by the depth d: the contracting path loses 4 pixels a level, each worth twice that of the level above,
        # 4 (2^(d+1) - 1), and the expanding path 4 (2^d - 1) in the same way
        self.lost = 0 if padding else 12 * self.step - 8

        inputs = [in_channels, *features[:-1]]
        self.down = nn.ModuleList(_two_convolutions(i, o, padding) for i, o in zip(inputs, features, strict=True))
        upwards = list(features)[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, stride=2) for i, o in pairwise(upwards))
        self.merge = nn.ModuleList(_two_convolutions(2 * f, f, padding) for f in upwards[1:])
        self.head = nn.Conv2d(features[0], out_channels, 1)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.apply(_initialise)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Images of shape (N, in_channels, H, W), any range; returns logits of shape (N, out_channels, H', W').

        H' and W' are H and W with ``padding`` or ``mirror``, else less by 184 (five levels).

        Raises:
            ValueError: if H or W do not suit, with the nearest that do. Any suit with ``mirror``.
        """
        height, width = image.shape[-2], image.shape[-1]
        if self.mirror:
            image = self._mirrored(image)
        else:
            check_size(height, width, self.step, offset=0 if self.padding else 4, smallest=self.lost + 1)

        skips: list[torch.Tensor] = []
        for level, convolutions in enumerate(self.down):
            image = convolutions(self.pool(image) if level > 0 else image)
            if level >= len(self.down) - 2:
                image = self.dropout(image)
            skips.append(image)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            image = up(image)
            image = merge(torch.cat([_centre(skips.pop(), image), image], dim=1))
        image = self.head(image)
        return image[..., :height, :width] if self.mirror else image

    def _mirrored(self, image: torch.Tensor) -> torch.Tensor:
        """Extended by the margin that the convolutions take, and below and right to the next valid size."""
        for axis in (-2, -1):
            size = image.shape[axis]
            after = -(size + self.lost + 4) % self.step
            places = torch.arange(-self.lost // 2, size + self.lost // 2 + after, device=image.device)
            # again and again where the image is smaller than the margin; torch's own reflection refuses that
            period = max(2 * (size - 1), 1)
            places = places % period
            image = image.index_select(axis, torch.minimum(places, period - places))
        return image


def _two_convolutions(in_channels: int, out_channels: int, padding: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=int(padding)),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=int(padding)),
        nn.ReLU(inplace=True),
    )


def _centre(skip: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    top, left = (skip.shape[-2] - like.shape[-2]) // 2, (skip.shape[-1] - like.shape[-1]) // 2
    return skip[..., top : top + like.shape[-2], left : left + like.shape[-1]]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        # of an up-convolution with stride 2, one pixel of the input reaches each pixel of the output
        taps = 1 if isinstance(module, nn.ConvTranspose2d) else module.kernel_size[0] * module.kernel_size[1]
        nn.init.normal_(module.weight, std=(2 / (taps * module.in_channels)) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
