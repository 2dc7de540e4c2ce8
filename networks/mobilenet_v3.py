"""MobileNetV3-Large as an encoder of MONAI's FlexibleUNet, and its ImageNet weights from a local file."""

from __future__ import annotations

import os

import torch
from monai.networks.blocks import BaseEncoder
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE
from torch import nn

from .sizes import check_size
from .weights import WeightsError, check_fits, read_checkpoint

BACKBONE = "mobilenetv3_large_100"

# Howard et al. 2019, table 1, after its first block: a stage a line, a block a tuple of kernel, expanded channels,
# channels out, channels of the squeeze (0: none; a quarter of the expanded, in multiples of 8), hard swish, stride
STAGES = (
    ((3, 64, 24, 0, False, 2), (3, 72, 24, 0, False, 1)),
    ((5, 72, 40, 24, False, 2), (5, 120, 40, 32, False, 1), (5, 120, 40, 32, False, 1)),
    ((3, 240, 80, 0, True, 2), (3, 200, 80, 0, True, 1), (3, 184, 80, 0, True, 1), (3, 184, 80, 0, True, 1)),
    ((3, 480, 112, 120, True, 1), (3, 672, 112, 168, True, 1)),
    ((5, 672, 160, 168, True, 2), (5, 960, 160, 240, True, 1), (5, 960, 160, 240, True, 1)),
)
CLASSIFIER = ("conv_head.weight", "conv_head.bias", "classifier.weight", "classifier.bias")


class MobileNetV3LargeEncoder(nn.Module, BaseEncoder):
    """The trunk of MobileNetV3-Large, Howard et al. 2019, arXiv 1905.02244, width 1.0; 2,971,952 parameters.

    ``FlexibleUNet(backbone="mobilenetv3_large_100", pretrained=False)`` makes one, once ``networks`` is imported. The
    names and the shapes of its state dict are those of the model of that name in timm (``conv_stem``, ``bn1``,
    ``blocks.STAGE.BLOCK...``) without the classifier, and so are its features: :func:`load_imagenet_encoder`.

    Args:
        spatial_dims: 2.
        in_channels: of the images; ImageNet weights need 3.
        pretrained: False. It is here since FlexibleUNet passes it; nothing is ever downloaded.

    Raises:
        ValueError: if ``spatial_dims`` is not 2, or ``pretrained`` is asked for.
    """

    def __init__(self, spatial_dims: int = 2, in_channels: int = 3, pretrained: bool = False) -> None:
        super().__init__()
        if spatial_dims != 2:
            raise ValueError(f"spatial_dims is {spatial_dims}; {BACKBONE} is a 2D network.")
        if pretrained:
            raise ValueError(
                f"{BACKBONE} downloads no weights: set pretrained to false and load a local file with "
                "networks.load_imagenet_encoder."
            )
        self.conv_stem = nn.Conv2d(in_channels, 16, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.act1 = nn.Hardswish(inplace=True)
        stages, channels = [nn.Sequential(_SeparableBlock(16))], 16
        for stage in STAGES:
            blocks = []
            for kernel, expanded, out, squeezed, swish, stride in stage:
                blocks.append(_Block(channels, kernel, expanded, out, squeezed, swish, stride))
                channels = out
            stages.append(nn.Sequential(*blocks))
        stages.append(nn.Sequential(_LastConvolution(channels, 960)))
        self.blocks = nn.Sequential(*stages)
        self.apply(_initialise)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Images of shape (N, in_channels, H, W), any range, H and W multiples of 32.

        Returns:
            five tensors of shape (N, C, H / s, W / s): C 16, 24, 40, 112, 960 and s 2, 4, 8, 16, 32.

        Raises:
            ValueError: if H or W is not a multiple of 32, with the nearest that are. (Else FlexibleUNet's decoder
                would fail at a ``torch.cat``, or return another size than the image's.)
        """
        if not torch.jit.is_scripting():  # which cannot compile the message
            check_size(image.shape[-2], image.shape[-1], step=32)
        image = self.act1(self.bn1(self.conv_stem(image)))
        features = []
        for index, stage in enumerate(self.blocks):
            image = stage(image)
            if index not in (3, 5):  # the stage after each is of the same resolution
                features.append(image)
        return features

    @classmethod
    def get_encoder_parameters(cls) -> list[dict]:
        return [{"spatial_dims": 2, "in_channels": 3, "pretrained": False}]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        return [(16, 24, 40, 112, 960)]

    @classmethod
    def num_outputs(cls) -> list[int]:
        return [5]

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        return [BACKBONE]


def load_imagenet_encoder(network: nn.Module, path: os.PathLike | str) -> nn.Module:
    """Load ImageNet weights into the MobileNetV3-Large encoder of a network; every name and shape must fit.

    They expect images of 3 channels in 0 to 1, less (0.485, 0.456, 0.406) and divided by (0.229, 0.224, 0.225).

    Args:
        network: a FlexibleUNet with this encoder, or the encoder itself.
        path: a local state dict with the names of timm's ``mobilenetv3_large_100``, as ``.safetensors`` or from
            ``torch.save``. The four tensors of its classifier, which an encoder does not have (``conv_head`` and
            ``classifier``, each weight and bias), are left out by name; nothing else is.

    Returns:
        ``network``

    Raises:
        WeightsError: as :func:`networks.load_weights`, or if the network has no such encoder.
    """
    encoder = getattr(network, "encoder", network)
    if not isinstance(encoder, MobileNetV3LargeEncoder):
        raise WeightsError(
            f"{path}: {type(network).__name__} has no MobileNetV3-Large encoder. Set backbone to {BACKBONE}."
        )
    state = {name: value for name, value in read_checkpoint(path).items() if name not in CLASSIFIER}
    stem, own = state.get("conv_stem.weight"), encoder.conv_stem.weight
    if isinstance(stem, torch.Tensor) and stem.ndim == 4 and stem.shape[1] != own.shape[1]:
        raise WeightsError(
            f"{path}: its weights take images of {stem.shape[1]} channels, the network takes {own.shape[1]}. Set "
            f"in_channels to {stem.shape[1]} and repeat the image's channel."
        )
    check_fits(encoder, state, path)
    encoder.load_state_dict(state)
    return network


# The attributes of the blocks are named as timm names them.


class _SeparableBlock(nn.Module):
    """Filter each channel, mix them by 1 x 1, add: the first block, which does not expand."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act = nn.ReLU(inplace=True)
        self.conv_pw = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + self.bn2(self.conv_pw(self.act(self.bn1(self.conv_dw(image)))))


class _Block(nn.Module):
    """Expand by 1 x 1, filter each channel, squeeze and excite, project by 1 x 1, add where the shape is kept."""

    def __init__(
        self, channels: int, kernel: int, expanded: int, out: int, squeezed: int, swish: bool, stride: int
    ) -> None:
        super().__init__()
        self.conv_pw = nn.Conv2d(channels, expanded, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(expanded)
        self.act = nn.Hardswish(inplace=True) if swish else nn.ReLU(inplace=True)
        self.conv_dw = nn.Conv2d(expanded, expanded, kernel, stride, kernel // 2, groups=expanded, bias=False)
        self.bn2 = nn.BatchNorm2d(expanded)
        self.se = _SqueezeExcite(expanded, squeezed) if squeezed else nn.Identity()
        self.conv_pwl = nn.Conv2d(expanded, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.adds = stride == 1 and channels == out

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        result = self.act(self.bn1(self.conv_pw(image)))
        result = self.se(self.act(self.bn2(self.conv_dw(result))))
        result = self.bn3(self.conv_pwl(result))
        return result + image if self.adds else result


class _SqueezeExcite(nn.Module):
    """Each channel times a gate in [0, 1], from the means of all channels (Hu et al. 2018, arXiv 1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, squeezed, 1)
        self.conv_expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        means = image.mean((2, 3), keepdim=True)
        return image * nn.functional.hardsigmoid(self.conv_expand(torch.relu(self.conv_reduce(means))))


class _LastConvolution(nn.Module):
    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.act = nn.Hardswish(inplace=True)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.act(self.bn1(self.conv(image)))


def _initialise(module: nn.Module) -> None:
    """He initialisation by outputs; torch's own of a depthwise convolution does not know the groups."""
    if isinstance(module, nn.Conv2d):
        outputs = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=(2 / outputs) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


FLEXUNET_BACKBONE.register_class(MobileNetV3LargeEncoder)
