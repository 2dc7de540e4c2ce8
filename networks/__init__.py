"""Networks and losses that MONAI does not have, and how a network is made ready to run. Knows no data."""

from .losses import FocalBCEDiceLoss
from .prepare import fast_precision, prepare
from .weights import WeightsError, check_fits, load_weights, read_checkpoint

__all__ = [
    "FocalBCEDiceLoss",
    "WeightsError",
    "check_fits",
    "fast_precision",
    "load_weights",
    "prepare",
    "read_checkpoint",
]
