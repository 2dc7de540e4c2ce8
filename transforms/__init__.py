"""From files to tensors and back: reading, annotations into masks, outputs. Knows no data set and no training."""

from .augmentation.batch import RandBatchd
from .augmentation.rand_blur import RandBlurd
from .augmentation.rand_clutter import RandClutterd
from .augmentation.rand_exposure import RandExposured
from .augmentation.rand_noise import RandNoised
from .augmentation.rand_opacities import RandOpacitiesd
from .augmentation.rand_warp import RandWarpd
from .configuration import calling_parser, check_keys, is_computed
from .errors import DataError, DiskError, plain_error, prepare_console
from .files.names import OutputLayout, image_name
from .files.nifti import is_nifti
from .files.writable import check_writable
from .grid.boxes import Box, BoxesToMaskd, boxes_to_mask, mask_to_boxes
from .grid.check_same_grid import CheckSameGridd
from .grid.fit_radiograph import FitRadiographd
from .grid.fit_slices import FitSlicesd
from .grid.levels import grey_levels
from .grid.match_grid import MatchGridd, match_grid
from .grid.one_slice import OneSliced
from .grid.unknown import LeaveOutUnknownd, UnknownBehindHeartd
from .outputs.as_in_file import AsInFiled
from .outputs.back_to_image import BackToImaged
from .outputs.check_frontal import CheckFrontald, SaveCheckd, frontal_check
from .outputs.overlay import SaveOverlayd, overlay
from .outputs.save_file import SaveFiled, SaveMaskd
from .outputs.volume_overlay import CLASS_COLOURS, SaveVolumeOverlayd, class_overlay
from .probabilities.keep_inside import KeepInsided
from .probabilities.keep_parts import KeepPartsd
from .probabilities.relative_to_peak import RelativeToPeakd
from .probabilities.temperature import before_temperature, with_temperature
from .progress_bar import counted, is_watched, progress
from .quality.features import MaskFeaturesd, mask_features
from .quality.predicted_dice import PredictDiced, distance, log_error, predict_dice
from .readers.ct import CTReader
from .readers.ct_series import CTVolume
from .readers.header import RADIOGRAPHS
from .readers.held import HeldRadiograph
from .readers.index import Case, Index, find_image, find_images, index_images
from .readers.label_map import LabelMapReader
from .readers.mask import MaskReader
from .readers.radiograph import RadiographReader

__all__ = [
    "CLASS_COLOURS",
    "RADIOGRAPHS",
    "AsInFiled",
    "BackToImaged",
    "Box",
    "BoxesToMaskd",
    "CTReader",
    "CTVolume",
    "Case",
    "CheckFrontald",
    "CheckSameGridd",
    "DataError",
    "DiskError",
    "FitRadiographd",
    "FitSlicesd",
    "HeldRadiograph",
    "Index",
    "KeepInsided",
    "KeepPartsd",
    "LabelMapReader",
    "LeaveOutUnknownd",
    "MaskFeaturesd",
    "MaskReader",
    "MatchGridd",
    "OneSliced",
    "OutputLayout",
    "PredictDiced",
    "RadiographReader",
    "RandBatchd",
    "RandBlurd",
    "RandClutterd",
    "RandExposured",
    "RandNoised",
    "RandOpacitiesd",
    "RandWarpd",
    "RelativeToPeakd",
    "SaveCheckd",
    "SaveFiled",
    "SaveMaskd",
    "SaveOverlayd",
    "SaveVolumeOverlayd",
    "UnknownBehindHeartd",
    "before_temperature",
    "boxes_to_mask",
    "calling_parser",
    "check_keys",
    "check_writable",
    "class_overlay",
    "counted",
    "distance",
    "find_image",
    "find_images",
    "frontal_check",
    "grey_levels",
    "image_name",
    "index_images",
    "is_computed",
    "is_nifti",
    "is_watched",
    "log_error",
    "mask_features",
    "mask_to_boxes",
    "match_grid",
    "overlay",
    "plain_error",
    "predict_dice",
    "prepare_console",
    "progress",
    "with_temperature",
]
