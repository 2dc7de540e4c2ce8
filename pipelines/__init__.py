"""Engines' handlers, data sets on disk, evaluation, and the commands. Uses ``transforms`` and ``networks``."""

from importlib import import_module
from typing import Any

# What configurations name, and the module that has it. It is imported on first use: commands need little of it.
MODULES = {
    "Agreement": "training.distributed",
    "AveragedWeights": "training.averaged_weights",
    "BatchOnDevice": "training.batches",
    "CachedDataset": "training.cached_dataset",
    "CachedSlices": "training.cached_slices",
    "ClassReport": "evaluation.multiclass_report",
    "EpochLog": "training.log",
    "EvaluationReport": "evaluation.binary_report",
    "LeakageAudit": "manifests.leakage",
    "MLFlowLog": "training.log",
    "MeanNetwork": "ensembles.mean_network",
    "MeanOfOrgans": "evaluation.multiclass_metrics",
    "Model": "prediction.model",
    "ReadAhead": "prediction.batches",
    "StressedDataset": "training.stressed_dataset",
    "Submission": "prediction.submission",
    "TrainingProgress": "training.log",
    "TrainingState": "training.state",
    "datalist": "manifests.manifest",
    "draw_ct_phantoms": "phantoms.ct",
    "draw_phantoms": "phantoms.radiographs",
    "evaluate_batch": "prediction.batches",
    "loader_workers": "training.batches",
    "read_manifest": "manifests.manifest",
    "release": "training.distributed",
    "share_of_batch": "training.distributed",
    "start": "training.start",
    "synchronise_batch_norm": "training.distributed",
}
__all__ = list(MODULES)


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *MODULES})
