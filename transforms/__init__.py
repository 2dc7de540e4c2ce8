"""From files to tensors and back: reading, annotations into masks, outputs. Knows no data set and no training."""

from .as_in_file import AsInFiled
from .boxes import Box, BoxesToMaskd, boxes_to_mask, mask_to_boxes
from .check_frontal import CheckFrontald, SaveCheckd, frontal_check
from .check_same_grid import CheckSameGridd
from .ct_reader import CTReader
from .ct_series import CTVolume
from .errors import DataError, plain_error, prepare_console
from .fit_radiograph import FitRadiographd
from .fit_slices import FitSlicesd
from .index_images import RADIOGRAPHS, Case, Index, find_images, index_images
from .keep_inside import KeepInsided
from .mask_reader import MaskReader
from .match_grid import MatchGridd, match_grid
from .names import OutputLayout, image_name
from .nifti_files import is_nifti
from .one_slice import OneSliced
from .overlay import SaveOverlayd, overlay
from .radiograph_reader import RadiographReader
from .rand_clutter import RandClutterd
from .rand_exposure import RandExposured
from .rand_opacities import RandOpacitiesd
from .rand_warp_pair import RandWarpPaird
from .save_file import SaveFiled, SaveMaskd
from .volume_overlay import CLASS_COLOURS, SaveVolumeOverlayd, class_overlay
from .writable import check_writable

__all__ = [
    "AsInFiled",
    "Box",
    "BoxesToMaskd",
    "CLASS_COLOURS",
    "CTReader",
    "CTVolume",
    "Case",
    "CheckFrontald",
    "CheckSameGridd",
    "DataError",
    "FitRadiographd",
    "FitSlicesd",
    "Index",
    "MatchGridd",
    "KeepInsided",
    "MaskReader",
    "OneSliced",
    "OutputLayout",
    "RADIOGRAPHS",
    "RadiographReader",
    "RandClutterd",
    "RandExposured",
    "RandOpacitiesd",
    "RandWarpPaird",
    "SaveCheckd",
    "SaveFiled",
    "SaveMaskd",
    "SaveOverlayd",
    "SaveVolumeOverlayd",
    "boxes_to_mask",
    "check_writable",
    "class_overlay",
    "find_images",
    "frontal_check",
    "image_name",
    "index_images",
    "is_nifti",
    "mask_to_boxes",
    "match_grid",
    "overlay",
    "plain_error",
    "prepare_console",
]
