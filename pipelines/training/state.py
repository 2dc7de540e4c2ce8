"""Keeps a training's state on disk, so that a kill at any moment loses at most one epoch."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite import distributed as idist
from ignite.engine import Events
from monai.data.utils import set_rnd
from monai.engines import Evaluator, Workflow

from networks import WeightsError, check_fits, read_about, read_checkpoint
from transforms import DataError
from transforms.files.atomic import atomic_path, atomic_write

from ..manifests.manifest import DataList

logger = logging.getLogger(__name__)

BEST, LAST, ABOUT = "model.pt", "last_epoch.pt", "model.json"
# How far a schedule has come. Its plan (length, bounds) comes from the configuration.
PLANNED_RATES = ("initial_lr", "max_lr", "min_lr")
SCHEDULE_PROGRESS = ("last_epoch", "_step_count", "_last_lr", "best", "num_bad_epochs", "cooldown_counter")


class TrainingState:
    """Handler of a trainer: best and last checkpoint, resuming, and randomness that a resume does not change.

    After each epoch it writes, each through a temporary file, ``model.pt`` if the validation was the best so far (a
    plain state dict), ``model.json`` (what that model is), and ``last_epoch.pt`` (all that a resume needs). Where a new
    training would overwrite a file of an old one, that is kept as ``model.previous.pt``, then
    ``model.previous2.pt``: no model is ever lost.

    A training that starts from the weights in ``model.pt`` validates them first, and leaves the file as it is until an
    epoch is better.

    Every random state is set again from ``seed``, the epoch and the process when an epoch starts. So N epochs are, bit
    for bit, k epochs and a resume, no matter what drew random numbers in between.

    It must be the last of the trainer's handlers, since it saves what the others have done to the epoch. Where several
    processes train, each needs it, and the first one writes.

    Args:
        folder: where the files go.
        network: the network that is trained, as it is without DistributedDataParallel.
        optimizer: as the trainer's.
        evaluator: whose key metric chooses the best model.
        lr_scheduler: the schedule, or None.
        resume: go on from ``last_epoch.pt``.
        patience: stop after so many epochs without a better model. None: never. It is counted from the epoch of the
            best model, which a resume knows, where MONAI's EarlyStopHandler would start counting again.
        seed: of all randomness.
        averaged: the network of averaged weights, where the evaluator measures that one: its state dict is the model
            then. None: the model is ``network``.
        settings: what the weights do not hold and must be used with, such as ``image_size``: it goes into
            ``model.json``, and :func:`networks.load_weights` compares it.

    ``model.json`` names the data: the manifest's name, as the trainer's data list knows it (:class:`DataList`), or how
    many images a program gave, such as MONAI Label.

    Raises:
        DataError: on start, if ``resume`` is set and there is nothing to resume.
        networks.WeightsError: on start, if ``last_epoch.pt`` is damaged or of another network.
    """

    def __init__(
        self,
        folder: os.PathLike | str,
        network: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        evaluator: Evaluator,
        lr_scheduler: Any = None,
        resume: bool = False,
        patience: int | None = None,
        seed: int = 0,
        averaged: torch.nn.Module | None = None,
        settings: dict[str, Any] | None = None,
    ):
        self.folder = Path(folder)
        self.network = network
        self.optimizer = optimizer
        self.evaluator = evaluator
        self.lr_scheduler = lr_scheduler
        self.resume = resume
        self.patience = patience
        self.seed = seed
        self.averaged = averaged
        self.settings = settings or {}

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, engine: Workflow) -> None:
        data = engine.state.dataloader.dataset.data
        self.name = data.name if isinstance(data, DataList) else f"{len(data)} images without a manifest"
        self.written: set[str] = set()
        if self.resume:
            self._load(engine)
            # a model that this training has not beaten yet is another's
            self.written = {LAST, BEST, ABOUT} if self.evaluator.state.best_metric_epoch > 0 else {LAST}
        elif self._starts_from_best():
            self._validate_start()

    def epoch_started(self, engine: Workflow) -> None:
        seed = int(np.random.SeedSequence([self.seed, engine.state.epoch, idist.get_rank()]).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        set_rnd(engine.state.dataloader.dataset, seed)

    def epoch_completed(self, engine: Workflow) -> None:
        if idist.get_rank() == 0:
            self._save(engine)
        best = self.evaluator.state
        since = engine.state.epoch - best.best_metric_epoch
        if self.patience is not None and best.best_metric_epoch >= 0 and since >= self.patience:
            logger.info("no better model for %d epochs: stopping", self.patience)
            engine.terminate()

    def completed(self, engine: Workflow) -> None:
        if self.evaluator.state.best_metric_epoch == 0:
            logger.warning("no epoch was better than the weights that the training started from: %s is kept", BEST)
        elif self.evaluator.state.best_metric_epoch < 0:
            logger.warning("no epoch was validated, so no model was chosen: give --val_interval 1, or more epochs")

    def _save(self, engine: Workflow) -> None:
        best = self.evaluator.state
        if best.best_metric_epoch == engine.state.epoch:
            about = {
                "trained_on": self.name,
                "epoch": engine.state.epoch,
                best.key_metric_name: float(best.best_metric),
                "settings": self.settings,
            }
            write_model((self.averaged or self.network).state_dict(), self._path(BEST), about, self._path(ABOUT))
        state = {
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "model": self.network.state_dict(),  # where MONAI Label looks, if it is told to use this file
            "trained_on": self.name,
            "optimizer": self.optimizer.state_dict(),
            "best_metric": float(best.best_metric),
            "best_metric_epoch": best.best_metric_epoch,
        }
        if self.lr_scheduler is not None:
            state["lr_scheduler"] = _values(self.lr_scheduler.state_dict())
        if self.averaged is not None:
            state["averaged"] = self.averaged.state_dict()
        if engine.scaler is not None:
            state["scaler"] = engine.scaler.state_dict()
        with atomic_path(self._path(LAST)) as scratch:
            torch.save(state, scratch)

    def _starts_from_best(self) -> bool:
        """Whether an earlier handler, such as MONAI's CheckpointLoader, has loaded ``model.pt``."""
        path, network = self.folder / BEST, self.network.state_dict()
        try:
            saved = read_checkpoint(path, force=True)
        except WeightsError:  # missing; or damaged, so that nobody has loaded it, and it will be set aside
            return False
        loaded = saved.keys() == network.keys() and all(torch.equal(saved[k], network[k].cpu()) for k in saved)
        if loaded:
            check_fits(self.network, read_checkpoint(path), path)  # others load without looking at its hash
        return loaded

    def _validate_start(self) -> None:
        if self.averaged is not None:
            self.averaged.load_state_dict(self.network.state_dict())
        before = read_about(self.folder / BEST).get("trained_on")
        self.name = f"{before or 'unknown data'}, then {self.name}"
        self.evaluator.run(1)
        self.evaluator.state.best_metric_epoch = 0
        best = self.evaluator.state
        logger.info("the weights that training starts from: %s %.4f", best.key_metric_name, best.best_metric)

    def _path(self, name: str) -> Path:
        """Where to write; before the first time, a file of an earlier training is renamed."""
        path = self.folder / name
        if name not in self.written and path.exists():
            aside = path.with_name(f"{path.stem}.previous{path.suffix}")
            while aside.exists():
                number = int(aside.stem.rpartition("previous")[2] or 1) + 1
                aside = path.with_name(f"{path.stem}.previous{number}{path.suffix}")
            os.replace(path, aside)
            logger.info("set aside the earlier training's %s as %s", name, aside.name)
        self.written.add(name)
        return path

    def _load(self, engine: Workflow) -> None:
        path = self.folder / LAST
        if not path.is_file():
            raise DataError(f"{path}: nothing to resume from. Leave out --resume to start a new training.")
        state = read_checkpoint(path)
        check_fits(self.network, state["model"], path)
        self.network.load_state_dict(state["model"])
        if self.averaged is not None:
            check_fits(self.averaged, state["averaged"], path)
            self.averaged.load_state_dict(state["averaged"])
        planned = [dict(group) for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        if self.lr_scheduler is not None:
            self._load_schedule(state["lr_scheduler"], planned)
        if engine.scaler is not None:
            engine.scaler.load_state_dict(state["scaler"])
        engine.state.epoch, engine.state.iteration = state["epoch"], state["iteration"]
        self.name = state["trained_on"]
        self.evaluator.state.best_metric = state["best_metric"]
        self.evaluator.state.best_metric_epoch = state["best_metric_epoch"]
        logger.info("resumed after epoch %d of %d", state["epoch"], engine.state.max_epochs)
        if state["epoch"] >= engine.state.max_epochs:
            logger.warning("nothing is left to train: all of its %d epochs are done", state["epoch"])

    def _load_schedule(self, saved: dict[str, Any], planned: list[dict[str, Any]]) -> None:
        """Take how far the schedule has come from the file, and its plan (length, rates) from the configuration."""
        plan = _values(self.lr_scheduler.state_dict())
        differing = [k for k, v in plan.items() if k not in SCHEDULE_PROGRESS and k in saved and saved[k] != v]
        self.lr_scheduler.load_state_dict({k: v for k, v in saved.items() if k in SCHEDULE_PROGRESS})
        for group, fresh in zip(self.optimizer.param_groups, planned, strict=True):
            group.update({name: fresh[name] for name in PLANNED_RATES if name in fresh})
        if differing:
            logger.warning(
                "the learning rate was planned differently before the interruption (%s): the resumed training follows "
                "the new plan from here, and is not the same as one without interruption",
                ", ".join(differing),
            )


def write_model(weights: dict[str, Any], path: Path, about: dict[str, Any], about_path: Path) -> None:
    """Write a model and what it is, so that a kill at any moment leaves one that is described."""
    with atomic_path(path) as scratch:
        torch.save(weights, scratch)
        about = {**about, "sha256": _sha256(scratch)}
        with atomic_write(about_path) as file:
            json.dump({**about, "before": _described(path)}, file, indent=2)
    with atomic_write(about_path) as file:
        json.dump(about, file, indent=2)


def _described(path: Path) -> dict[str, Any]:
    """What is said of a model that may be there, with its hash."""
    if not path.is_file():
        return {}
    sha256 = _sha256(path)
    try:
        return {**read_about(path, sha256), "sha256": sha256}
    except WeightsError:
        return {"sha256": sha256}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _values(schedule: dict[str, Any]) -> dict[str, Any]:
    """A schedule's state without what is code, which a safe load refuses."""
    kinds = (bool, int, float, str, type(None), list, tuple, dict)
    return {name: value for name, value in schedule.items() if isinstance(value, kinds)}
