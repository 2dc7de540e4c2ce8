"""Engines' handlers, data sets on disk, evaluation, and the commands. Uses ``transforms`` and ``networks``."""

from importlib import import_module
from typing import Any

# What configurations name, and the module that has it. It is imported on first use: commands need little of it.
MODULES = {
    "Agreement": "distributed",
    "AveragedWeights": "averaged_weights",
    "CachedDataset": "cached_dataset",
    "CachedSlices": "cached_slices",
    "ClassReport": "multiclass_report",
    "EpochLog": "training_log",
    "EvaluationReport": "binary_report",
    "MeanOfOrgans": "multiclass_metrics",
    "StressedDataset": "stressed_dataset",
    "Submission": "submission",
    "TrainingProgress": "training_log",
    "TrainingState": "training_state",
    "datalist": "manifest",
    "draw_ct_phantoms": "ct_phantoms",
    "draw_phantoms": "phantoms",
    "loader_workers": "workers",
    "read_manifest": "manifest",
    "release": "distributed",
    "start": "run_start",
    "synchronise_batch_norm": "distributed",
}
__all__ = list(MODULES)


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *MODULES})
