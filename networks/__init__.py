"""Networks and losses that MONAI does not have, and how a network is made ready to run. Knows no data."""

from .classic_unet import ClassicUNet
from .image_classifier import BottomFeatures, ImageClassifier, bottom_features
from .load_encoder import load_encoder
from .losses import FocalBCEDiceLoss, KnownLoss
from .mobilenet_v3 import MobileNetV3LargeEncoder, load_imagenet_encoder
from .prepare import OutputError, Precision, SettingError, fast_precision, prepare, usable_device
from .sizes import SizeError, check_size
from .unet_with_head import UNetWithHead
from .volume_inferer import SLICE_OFFSETS, SliceChannels, VolumeInferer, slice_channels
from .weights import (
    WeightsError,
    check_fits,
    load_weights,
    loaded_from,
    read_about,
    read_checkpoint,
    read_fitted,
)

__all__ = [
    "SLICE_OFFSETS",
    "BottomFeatures",
    "ClassicUNet",
    "FocalBCEDiceLoss",
    "ImageClassifier",
    "KnownLoss",
    "MobileNetV3LargeEncoder",
    "OutputError",
    "Precision",
    "SettingError",
    "SizeError",
    "SliceChannels",
    "UNetWithHead",
    "VolumeInferer",
    "WeightsError",
    "bottom_features",
    "check_fits",
    "check_size",
    "fast_precision",
    "load_encoder",
    "load_imagenet_encoder",
    "load_weights",
    "loaded_from",
    "prepare",
    "read_about",
    "read_checkpoint",
    "read_fitted",
    "slice_channels",
    "usable_device",
]
