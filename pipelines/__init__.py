"""Engines' handlers, data sets on disk, evaluation, and the commands. Uses ``transforms`` and ``networks``."""

from .cached_dataset import CachedDataset
from .evaluation import EvaluationReport, Submission
from .manifest import datalist, read_manifest
from .phantoms import draw_phantoms
from .start import start
from .training_log import EpochLog, TrainingProgress
from .training_state import TrainingState

__all__ = [
    "CachedDataset",
    "EpochLog",
    "EvaluationReport",
    "Submission",
    "TrainingProgress",
    "TrainingState",
    "datalist",
    "draw_phantoms",
    "read_manifest",
    "start",
]
