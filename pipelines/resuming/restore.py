"""Reads the state of a training from its file and puts it back into the trainer's parts."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import torch
from monai.engines import Workflow

from networks import WeightsError, check_fits, read_checkpoint
from transforms import DataError

from .fingerprint import differences

logger = logging.getLogger(__name__)

# How far a schedule has come. Its plan (length, bounds) comes from the configuration.
SCHEDULE_PROGRESS = ("last_epoch", "_step_count", "_last_lr", "best", "num_bad_epochs", "cooldown_counter")
SCHEDULED = ("lr", "momentum", "betas")  # what a schedule sets in an optimiser
NEEDED = ("epoch", "iteration", "model", "trained_on", "optimizer", "best_metric", "best_metric_epoch")


def read_state(path: Path) -> dict[str, Any]:
    """What a training keeps after each epoch.

    Raises:
        DataError: if the file is missing.
        networks.WeightsError: if it is damaged, or is no training's state.
    """
    if not path.is_file():
        kept = sorted(path.parent.glob(f"{path.stem}.previous*{path.suffix}"), key=os.path.getmtime)
        hint = f" {kept[-1].name} is that of an earlier training: rename it to continue that one." if kept else ""
        raise DataError(f"{path}: nothing to resume from. Leave out --resume to start a new training.{hint}")
    state = read_checkpoint(path)
    missing = [key for key in NEEDED if key not in state]
    if missing:
        raise WeightsError(f"{path}: is not the state of a training: it lacks {', '.join(missing)}. Train again.")
    return state


def check_depends_on(state: dict[str, Any], now: dict[str, Any], path: Path, resume: bool | str) -> None:
    """Check that a training that continues is the one that the state is of, in configuration and data.

    Args:
        state: as of :func:`read_state`.
        now: what the training depends on, see :mod:`pipelines.resuming.fingerprint`.
        path: the state's file.
        resume: as :class:`~pipelines.training.state.TrainingState` takes it: ``"force"`` lets all be different, with a
            warning, and ``"auto"`` the number of processes.

    Raises:
        DataError: if it is another; it lists what is different.
    """
    if "depends_on" not in state:
        logger.warning("%s: is of an earlier version, and does not say what it depends on", path)
        return
    before = state["depends_on"]
    if resume == "auto" and before["processes"] != now["processes"]:
        logger.info("processes: %d before, %d now", before["processes"], now["processes"])
        before = {**before, "processes": now["processes"]}
    found = differences(before, now)
    if not found:
        return
    listed = "\n".join(f"  {line}" for line in found)
    if resume != "force":
        raise DataError(
            f"{path}: is the state of a training with other settings or data (before -> now):\n{listed}\n"
            "Give them as they were, continue with the new ones by --resume force, or start a new training: leave out "
            "--resume, or give another --ckpt_dir."
        )
    logger.warning("resumed with other settings or data, as forced (before -> now):\n%s", listed)


def restore(
    state: dict[str, Any],
    path: Path,
    engine: Workflow,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    lr_scheduler: Any,
    averaged: torch.nn.Module | None,
) -> None:
    """Put a state back into a trainer and its parts.

    Weights, the optimiser's moments and how far the schedule has come are those of the file; all that is planned
    (rates, decay, length) is the configuration's.

    Args:
        state: as of :func:`read_state`.
        path: its file.
        engine: the trainer, which has started; its epoch and iteration are set.
        network: as it is without DistributedDataParallel.
        optimizer: the trainer's.
        lr_scheduler: the schedule, or None.
        averaged: the network of averaged weights, or None.

    Raises:
        networks.WeightsError: if the weights are those of another network.
        DataError: if what else there is does not fit.
    """
    for module, name in ((network, "model"), (averaged, "averaged")):
        if module is not None:
            check_fits(module, state.get(name, {}), path)
    network.load_state_dict(state["model"])
    if averaged is not None:
        averaged.load_state_dict(state["averaged"])
    engine.state.epoch = state["epoch"]
    engine.state.iteration = state["epoch"] * engine.state.epoch_length  # of which there may be more or less now
    planned = [dict(group) for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(state["optimizer"])
        if lr_scheduler is not None:
            _load_progress(lr_scheduler, dict(state["lr_scheduler"]), state["iteration"], engine.state.iteration)
        if engine.scaler is not None:
            engine.scaler.load_state_dict(state["scaler"])
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: the optimiser or the schedule is another than the configured one ({error}), so there is nothing "
            "to continue. Configure it as it was, or start a new training."
        ) from error
    kept = {"params", *(SCHEDULED if lr_scheduler is not None else ())}
    for group, fresh in zip(optimizer.param_groups, planned, strict=True):
        group.update({name: value for name, value in fresh.items() if name not in kept or name not in group})


def _load_progress(lr_scheduler: Any, saved: dict[str, Any], before: int, now: int) -> None:
    plan = schedule_values(lr_scheduler)
    differing = [key for key, value in plan.items() if key not in SCHEDULE_PROGRESS and saved.get(key, value) != value]
    if saved["last_epoch"] == before:  # it counts iterations
        saved["last_epoch"] = now
    lr_scheduler.load_state_dict({key: value for key, value in saved.items() if key in SCHEDULE_PROGRESS})
    if differing:
        logger.warning(
            "the learning rate was planned differently before the interruption (%s): the resumed training follows "
            "the new plan from here, and is not the same as one without interruption",
            ", ".join(differing),
        )


def schedule_values(lr_scheduler: Any) -> dict[str, Any]:
    """A schedule's state without what is code, which a safe load refuses."""
    kinds = (bool, int, float, str, type(None), list, tuple, dict)
    return {name: value for name, value in lr_scheduler.state_dict().items() if isinstance(value, kinds)}
