"""Engines' handlers, data sets on disk, evaluation, and the commands. Uses ``transforms`` and ``networks``."""

from .averaged_weights import AveragedWeights
from .binary_report import EvaluationReport
from .cached_dataset import CachedDataset
from .cached_slices import CachedSlices
from .ct_phantoms import draw_ct_phantoms
from .distributed import Agreement, release, synchronise_batch_norm
from .loader_workers import loader_workers
from .manifest import datalist, read_manifest
from .multiclass_metrics import MeanOfOrgans
from .multiclass_report import ClassReport
from .phantoms import draw_phantoms
from .start import start
from .stressed_dataset import StressedDataset
from .submission import Submission
from .training_log import EpochLog, TrainingProgress
from .training_state import TrainingState

__all__ = [
    "Agreement",
    "AveragedWeights",
    "CachedDataset",
    "CachedSlices",
    "ClassReport",
    "EpochLog",
    "EvaluationReport",
    "MeanOfOrgans",
    "StressedDataset",
    "Submission",
    "TrainingProgress",
    "TrainingState",
    "datalist",
    "draw_ct_phantoms",
    "draw_phantoms",
    "loader_workers",
    "read_manifest",
    "release",
    "start",
    "synchronise_batch_norm",
]
