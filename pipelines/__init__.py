"""Engines' handlers, data sets on disk, evaluation, and the commands. Uses ``transforms`` and ``networks``."""

from .averaged_weights import AveragedWeights
from .cached_dataset import CachedDataset
from .cached_slices import CachedSlices
from .class_metrics import MeanOfOrgans
from .class_report import ClassReport
from .ct_phantoms import draw_ct_phantoms
from .distributed import Agreement, release, synchronise_batch_norm
from .evaluation import EvaluationReport, Submission
from .loader_workers import loader_workers
from .manifest import datalist, read_manifest
from .phantoms import draw_phantoms
from .start import start
from .stressed_dataset import StressedDataset
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
