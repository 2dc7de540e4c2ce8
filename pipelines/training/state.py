"""Keeps a training's state on disk, so that a kill at any moment loses at most one epoch."""

from __future__ import annotations

import logging
import os
import random
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from ignite import distributed as idist
from ignite.engine import Events
from monai.data.utils import set_rnd
from monai.engines import Evaluator, SupervisedTrainer, Workflow
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from networks import WeightsError, check_fits, loaded_from, read_about, read_checkpoint
from transforms import DataError
from transforms.files.atomic import atomic_write, set_aside
from transforms.files.lock import locked

from ..manifests.manifest import DataList
from ..resuming.fingerprint import configuration, images
from ..resuming.restore import check_depends_on, read_state, restore, schedule_values
from ..resuming.sample import joined_samples, sample_of
from ..resuming.saved_model import THEN, write_model
from ..stopping import Steps, Stopped
from .distributed import release

logger = logging.getLogger(__name__)

BEST, LAST, ABOUT = "model.pt", "last_epoch.pt", "model.json"


class TrainingState:
    """Handler of a trainer: best and last checkpoint, resuming, and randomness that a resume does not change.

    After each epoch it writes, each through a temporary file, ``model.pt`` if the validation was the best so far (a
    plain state dict), ``model.json`` (what that model is), and ``last_epoch.pt`` (all that a resume needs, and what
    the training depends on, see :mod:`pipelines.resuming.fingerprint`). A new training sets the state of an old one
    aside when it starts, as ``last_epoch.previous.pt``, then ``previous2``; and the model when it replaces it. So no
    model is ever lost, and once there is a ``model.pt``, there is one at every moment.

    A training that starts from the weights in ``model.pt`` validates them first, and leaves the file as it is until an
    epoch is better.

    Every random state is set again from ``seed``, the epoch and the process when an epoch starts, and that of the
    trainer's ``prepare_batch`` from these and the step when a step starts. So N epochs are, bit for bit, k epochs and a
    resume, no matter what drew random numbers in between.

    SIGTERM and SIGINT end the training after the next iteration, see :class:`pipelines.stopping.Steps`. While it runs,
    no other training may write to ``folder``.

    It must be the last of the trainer's handlers, since it saves what the others have done to the epoch. Where several
    processes train, each needs it, and the first one writes.

    Args:
        folder: where the files go.
        network: the network that is trained, as it is without DistributedDataParallel.
        optimizer: as the trainer's.
        evaluator: whose key metric chooses the best model.
        lr_scheduler: the schedule, or None.
        resume: continue from ``last_epoch.pt``; ``"force"``: even if it depends on another configuration or other data;
            ``"auto"``: if it is there, even if it is of another number of processes; else start.
        patience: stop after so many epochs without a better model. None: never. It is counted from the epoch of the
            best model, which a resume knows, where MONAI's EarlyStopHandler would start counting again.
        seed: of all randomness.
        averaged: the network of averaged weights, where the evaluator measures that one: its state dict is the model
            then. None: the model is ``network``.
        settings: what the weights do not hold and must be used with, such as ``image_size``: it goes into
            ``model.json``, and :func:`networks.load_weights` compares it.

    ``model.json`` names the data: the manifest's name, as the trainer's data list knows it (:class:`DataList`), or how
    many images a program gave, such as MONAI Label; and has a sample of them, see
    :func:`pipelines.resuming.sample.sample_of`.

    Raises:
        DataError: if ``resume`` is none of its values; on start, if another training writes to the folder, or if
            ``resume`` is set and there is nothing to resume, or what there is depends on something else.
        networks.WeightsError: on start, if ``last_epoch.pt`` is damaged or of another network.
    """

    def __init__(
        self,
        folder: os.PathLike | str,
        network: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        evaluator: Evaluator,
        lr_scheduler: Any = None,
        resume: bool | Literal["force", "auto"] = False,
        patience: int | None = None,
        seed: int = 0,
        averaged: torch.nn.Module | None = None,
        settings: dict[str, Any] | None = None,
    ):
        if resume not in (True, False, "force", "auto"):
            raise DataError(f"resume is {resume!r}; give --resume True, False, force or auto.")
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
        self.configuration = {**self.settings, "seed": seed, **configuration()}
        self.held = ExitStack()
        self.steps = Steps()

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)
        engine.add_event_handler(Events.ITERATION_STARTED, self.iteration_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.steps.check)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.failed)
        if idist.get_world_size() == 1:  # several have different numbers of iterations to validate
            self.evaluator.add_event_handler(Events.ITERATION_COMPLETED, self.steps.check)

    def started(self, engine: Workflow) -> None:
        if idist.get_rank() == 0:
            self.held.enter_context(locked(self.folder))
        self.held.enter_context(self.steps)
        loaders: tuple[Any, Any] = (engine.state.dataloader, self.evaluator.data_loader)
        data, validation = (loader.dataset.data for loader in loaders)
        self.name = data.name if isinstance(data, DataList) else f"{len(data)} images without a manifest"
        self.depends_on = {
            **self.configuration,
            "processes": idist.get_world_size(),
            "training images": images(data),
            "validation images": images(validation),
        }
        self.sample = sample_of(entry["image"] for entry in data)  # of all that the weights have learnt from
        if engine.state.epoch > 0:  # it goes on, as the rounds of a federated training do, from weights that were sent
            self.sample = []  # other sites have trained them too, on images that are not known here
        elif self.resume and (self.resume != "auto" or self._is_begun()):
            self._load(engine)
        else:
            if idist.get_rank() == 0:
                set_aside(self.folder / LAST)
                (self.folder / LAST).unlink(missing_ok=True)
            if self._starts_from_best():
                self._validate_start()
            elif start := loaded_from(self.network):  # of another folder
                self._learnt_before(read_about(start))
        # until this training has beaten it, model.pt is another's
        self.has_model = self.evaluator.state.best_metric_epoch > 0

    def epoch_started(self, engine: Workflow) -> None:
        seed = self._seed(engine.state.epoch)
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        set_rnd(engine.state.dataloader.dataset, seed)

    def iteration_started(self, engine: Workflow) -> None:
        state = engine.state
        step = state.iteration - (state.epoch - 1) * state.epoch_length
        seed = self._seed(state.epoch, step)
        for transform in getattr(engine.prepare_batch, "transforms", ()):
            seed = set_rnd(transform, seed)

    def _seed(self, *moment: int) -> int:
        """Of this process's randomness at a moment of the training."""
        return int(np.random.SeedSequence([self.seed, *moment, idist.get_rank()]).generate_state(1)[0])

    def epoch_completed(self, engine: Workflow) -> None:
        if idist.get_rank() == 0:
            self._save(engine)
        self.steps.check()
        best = self.evaluator.state
        since = engine.state.epoch - best.best_metric_epoch
        if self.patience is not None and best.best_metric_epoch >= 0 and since >= self.patience:
            logger.info("no better model for %d epochs: stopping", self.patience)
            engine.terminate()

    def completed(self, engine: Workflow) -> None:
        self.held.close()
        if self.evaluator.state.best_metric_epoch == 0:
            logger.warning("no epoch was better than the weights that the training started from: %s is kept", BEST)
        elif self.evaluator.state.best_metric_epoch < 0:
            logger.warning("no epoch was validated, so no model was chosen: give --val_interval 1, or more epochs")

    def failed(self, engine: SupervisedTrainer, error: BaseException) -> None:
        self.held.close()
        if isinstance(error, Stopped) and dist.is_initialized():
            release(cast(DistributedDataParallel, engine.network))
            dist.destroy_process_group()
        raise error

    def _save(self, engine: Workflow) -> None:
        best = self.evaluator.state
        if best.best_metric_epoch == engine.state.epoch:
            self._save_best()
        state = {
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "model": self.network.state_dict(),  # where MONAI Label looks, if it is told to use this file
            "trained_on": self.name,
            "trained_images": self.sample,
            "depends_on": self.depends_on,
            "optimizer": self.optimizer.state_dict(),
            "best_metric": float(best.best_metric),
            "best_metric_epoch": best.best_metric_epoch,
        }
        if self.lr_scheduler is not None:
            state["lr_scheduler"] = schedule_values(self.lr_scheduler)
        if self.averaged is not None:
            state["averaged"] = self.averaged.state_dict()
        if engine.scaler is not None:
            state["scaler"] = engine.scaler.state_dict()
        with atomic_write(self.folder / LAST, "wb") as file:
            torch.save(state, file)
        if self.has_model and not (self.folder / BEST).is_file():
            raise DataError(
                f"{self.folder / BEST}: was removed while the training ran. Put it back and give --resume True, or "
                "continue without it by --resume force: then the best of the next epochs is kept."
            )

    def _save_best(self) -> None:
        best, path, about = self.evaluator.state, self.folder / BEST, self.folder / ABOUT
        if not self.has_model:
            set_aside(path, about)
        self.has_model = True
        content = {
            "trained_on": self.name,
            "trained_images": self.sample,
            "epoch": best.best_metric_epoch,
            best.key_metric_name: float(best.best_metric),
            "settings": self.settings,
        }
        write_model((self.averaged or self.network).state_dict(), path, content, about)

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
        self._learnt_before(read_about(self.folder / BEST))
        self.evaluator.run(1)
        self.evaluator.state.best_metric_epoch = 0
        best = self.evaluator.state
        logger.info("the weights that training starts from: %s %.4f", best.key_metric_name, best.best_metric)

    def _learnt_before(self, about: dict[str, Any]) -> None:
        self.name = f"{about.get('trained_on') or 'unknown data'}{THEN}{self.name}"
        self.sample = joined_samples(self.sample, about.get("trained_images"))

    def _is_begun(self) -> bool:
        """Whether there is a state, as the first process sees it: others may see a shared folder a little later."""
        return bool(idist.broadcast(float((self.folder / LAST).is_file()), src=0))

    def _load(self, engine: Workflow) -> None:
        path = self.folder / LAST
        state = read_state(path)
        check_depends_on(state, self.depends_on, path, self.resume)
        restore(state, path, engine, self.network, self.optimizer, self.lr_scheduler, self.averaged)
        before = state["trained_on"]
        self.sample = joined_samples(self.sample, state.get("trained_images"))
        self.name = before if f"{before}, ".endswith(f"{self.name}, ") else f"{before}{THEN}{self.name}"
        best, model = self.evaluator.state, self.folder / BEST
        best.best_metric, best.best_metric_epoch = state["best_metric"], state["best_metric_epoch"]
        if best.best_metric_epoch > 0 and not model.is_file():
            if self.resume != "force":
                raise DataError(
                    f"{model}: is missing, the model of epoch {best.best_metric_epoch} of this training. Put it back, "
                    "or continue without it by --resume force: then the best of the next epochs is kept."
                )
            best.best_metric, best.best_metric_epoch = -1, -1
        logger.info("resumed after epoch %d of %d", state["epoch"], engine.state.max_epochs)
        if state["epoch"] >= engine.state.max_epochs:
            done = f"nothing is left to train: all of its {state['epoch']} epochs are done"
            if not model.is_file():
                raise DataError(f"{model}: is missing, and {done}. Give more --epochs, or start a new training.")
            logger.warning(done)
