"""What a person sees of a training: a progress bar, a table of the epochs and their curves, and a record in MLflow."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from ignite import distributed as idist
from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from monai.engines import Workflow
from monai.handlers import MLFlowHandler, from_engine
from torch.optim import Optimizer

from transforms import DataError
from transforms.files.atomic import atomic_write

from .curves import draw_curves

logger = logging.getLogger(__name__)


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


class MLFlowLog(MLFlowHandler):
    """Handler of a trainer: MONAI's record of a training in MLflow, each training a run of its own.

    It holds the loss and the learning rate of each step, every metric of the trainer and the evaluators of each epoch,
    the numbers of epochs and steps, and ``experiment_param``: no names of files or folders, and no files. It must come
    after the handlers that validate. Once the training runs, the first failure of MLflow is warned of, and ends the
    record, not the training.

    Args:
        tracking_uri: of MLflow, as ``sqlite:///FILE.db`` or ``http://HOST:PORT``.
        experiment_name: that the run belongs to.
        experiment_param: of the training, such as the image size.
        evaluators: whose metrics are logged beside the trainer's.

    Raises:
        DataError: as :func:`check_mlflow`.
    """

    def __init__(
        self,
        tracking_uri: str,
        experiment_name: str,
        experiment_param: Mapping[str, Any],
        evaluators: Sequence[Workflow],
    ):
        check_mlflow(tracking_uri)
        with _without_secrets(tracking_uri):
            super().__init__(
                tracking_uri,
                output_transform=from_engine(["loss"], first=True),
                tag_name="train_loss",
                experiment_name=experiment_name,
                experiment_param=dict(experiment_param),
                close_on_complete=True,
            )
            self._set_experiment()
        self.evaluators = evaluators
        self.off = False

    def start(self, engine: Engine) -> None:
        self._keep(self._start, engine)

    def iteration_completed(self, engine: Engine) -> None:
        self._keep(super().iteration_completed, engine)

    def epoch_completed(self, engine: Engine) -> None:
        self._keep(self._epoch_completed, engine)

    def complete(self) -> None:
        self._keep(super().complete)

    def close(self) -> None:
        self._keep(super().close)

    def _start(self, engine: Engine) -> None:
        if (
            self.experiment and not self.cur_run
        ):  # MONAI would go on with one that has not ended, as one that was killed
            self.cur_run = self.client.create_run(self.experiment.experiment_id)
        super().start(engine)

    def _epoch_completed(self, engine: Engine) -> None:
        super().epoch_completed(engine)
        for evaluator in self.evaluators:
            if evaluator.state.epoch == engine.state.epoch:  # not every epoch need be validated
                self._log_metrics(evaluator.state.metrics, step=engine.state.epoch)

    def _keep(self, record: Callable[..., None], *args: Engine) -> None:
        if self.off:
            return
        try:
            record(*args)
        except Exception as error:  # a training is worth more than its record
            self.off = True
            logger.warning("MLflow failed (%s). The training goes on, and its record ends here.", _hidden(error))


def check_mlflow(tracking_uri: str) -> None:
    """Reach the place where MLflow is to keep its records.

    Raises:
        DataError: if MLflow is not installed or cannot keep its records there, or the environment names another place.
    """
    if find_spec("mlflow") is None:
        raise DataError(
            "MLflow is not installed, and --mlflow asks for a record in it. Run: pip install 'radbundles[mlflow]' "
            "(in a clone: pip install -e '.[mlflow]'), or leave it out."
        )
    if os.environ.get("MLFLOW_TRACKING_URI", tracking_uri) != tracking_uri:  # to MONAI it would go before the argument
        raise DataError(
            f"--mlflow {_hidden(tracking_uri)}: the environment variable MLFLOW_TRACKING_URI names another place. "
            "Unset it, or give --mlflow the same."
        )
    with _without_secrets(tracking_uri):
        MLFlowHandler(tracking_uri).client.search_experiments(max_results=1)


@contextmanager
def _without_secrets(tracking_uri: str) -> Iterator[None]:
    """What goes wrong with MLflow as one message, without the user and the password of its address."""
    try:
        yield
    except Exception as error:  # of MONAI or of MLflow, which has many
        raise DataError(
            f"{_hidden(tracking_uri)}: MLflow cannot keep its records there ({_hidden(error)}). Give --mlflow "
            "sqlite:///FILE.db, or http://HOST:PORT of a server that runs."
        ) from None  # the error itself may tell them


def _hidden(told: object) -> str:
    """A text without the user and the password of addresses in it."""
    return re.sub(r"//[^/\s]*@", "//", str(told))
