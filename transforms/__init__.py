"""From files to tensors and back: reading, annotations into masks, outputs. Knows no data set and no training."""

from .boxes import BoxesToMaskd, boxes_to_mask
from .errors import DataError, plain_error, prepare_console
from .find_radiographs import find_radiographs
from .outputs import OutputLayout, SaveOverlayd, check_writable, image_name, overlay
from .radiograph_reader import RadiographReader
from .rand_affine_pair import RandAffinePaird

__all__ = [
    "BoxesToMaskd",
    "DataError",
    "OutputLayout",
    "RadiographReader",
    "RandAffinePaird",
    "SaveOverlayd",
    "boxes_to_mask",
    "check_writable",
    "find_radiographs",
    "image_name",
    "overlay",
    "plain_error",
    "prepare_console",
]
