"""What a person sees of a training: a progress bar, a table of the epochs, and their curves."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from ignite import distributed as idist
from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from monai.engines import Workflow
from monai.handlers import from_engine
from torch.optim import Optimizer

from transforms.files.atomic import atomic_write

from .curves import draw_curves


class TrainingProgress(ProgressBar):
    """Ignite's progress bar, with the loss and the images per second of the epoch that runs.

    Args:
        batch_size: images per iteration, of each process.
    """

    def __init__(self, batch_size: int):
        super().__init__(
            bar_format="{desc}[{n_fmt}/{total_fmt}]|{bar}{postfix} [{elapsed}<{remaining}, {rate_fmt}]",
            unit_scale=batch_size * idist.get_world_size(),
            unit="images",
            disable=None,  # silent where the output is not a terminal
        )

    def attach(self, engine: Engine) -> None:  # type: ignore[override]  # MONAI's engines give the engine alone
        super().attach(engine, output_transform=lambda output: {"loss": from_engine("loss", first=True)(output)})


class EpochLog:
    """Handler of a trainer: one row an epoch in a CSV file, and the curves of loss, IoU and Dice as PNG at the end.

    Columns: ``epoch``, ``seconds`` (of training, without validation), ``images_per_second`` (of all processes),
    ``learning_rate``, ``train_loss`` (mean over the epoch's images), and every metric of the trainer and the
    evaluators.

    It must come after the handlers that validate and before the one that keeps the training's state.

    Args:
        csv: the table; a training that is resumed keeps the rows of the epochs before.
        curves: the picture.
        evaluators: whose metrics are logged beside the trainer's.
        optimizer: whose learning rate is logged.
    """

    def __init__(
        self, csv: os.PathLike | str, curves: os.PathLike | str, evaluators: Sequence[Workflow], optimizer: Optimizer
    ):
        self.csv = Path(csv)
        self.curves = Path(curves)
        self.evaluators = evaluators
        self.optimizer = optimizer
        self.rows: list[dict[str, float]] = []

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def epoch_started(self, engine: Workflow) -> None:
        if not self.rows and engine.state.epoch > 1 and self.csv.is_file():
            rows = pd.read_csv(self.csv)
            self.rows = rows[rows["epoch"] < engine.state.epoch].to_dict("records")
        self.learning_rate = self.optimizer.param_groups[0]["lr"]
        self.loss, self.images, self.seconds = 0.0, 0, 0.0
        self.since = time.perf_counter()

    def iteration_completed(self, engine: Workflow) -> None:
        images = len(engine.state.output)
        self.loss += float(engine.state.output[0]["loss"]) * images
        self.images += images
        self.seconds = time.perf_counter() - self.since

    def epoch_completed(self, engine: Workflow) -> None:
        row = {
            "epoch": engine.state.epoch,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.images * idist.get_world_size() / self.seconds, 2),
            "learning_rate": self.learning_rate,
            "train_loss": self.loss / self.images,
        }
        row |= {name: float(value) for name, value in engine.state.metrics.items()}
        for evaluator in self.evaluators:
            if evaluator.state.epoch == engine.state.epoch:  # not every epoch need be validated
                row |= {name: float(value) for name, value in evaluator.state.metrics.items()}
        self.rows.append(row)
        with atomic_write(self.csv) as file:
            pd.DataFrame(self.rows).to_csv(file, index=False)

    def completed(self, engine: Workflow) -> None:
        if self.rows:
            draw_curves(pd.DataFrame(self.rows), self.curves)
