"""What a person sees of a training: the table, its means worked by hand, the bar, and the record in MLflow."""

from __future__ import annotations

import getpass
import io
import sqlite3
import sys

import pandas as pd
import pytest
import torch
from ignite.engine import Engine, Events
from PIL import Image

from pipelines import EpochLog, MLFlowLog, TrainingProgress
from pipelines.training import log as log_module
from transforms import DataError

# Of each batch its images and their mean loss: (3 * 1.0 + 1 * 5.0) / 4 = 2 is the mean over the images.
BATCHES = [(3, 1.0), (1, 5.0)]


def trainer_of(batches=BATCHES, factor=1.0):
    """Its losses are those of the batches, times a factor; its metric is the epoch's number."""

    def step(engine, batch):
        images, loss = batch
        return [{"loss": torch.tensor(loss * factor)} for _ in range(images)]

    trainer = Engine(step)
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda engine: engine.state.metrics.update(train_dice=engine.state.epoch / 10)
    )
    return trainer


@pytest.fixture
def log(tmp_path):
    """Runs epochs, of which the even ones are validated; gives the table. Each step halves the learning rate."""

    def run(epochs, trainer, resume_after=0):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.8 / 4**resume_after)
        evaluator = Engine(lambda engine, batch: None)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)

        def step(engine):
            optimizer.step()
            schedule.step()

        def validate(engine):
            evaluator.state.epoch = engine.state.epoch - 1
            evaluator.run([0], max_epochs=engine.state.epoch)
            evaluator.state.metrics["val_dice"] = engine.state.epoch / 100

        trainer.add_event_handler(Events.ITERATION_COMPLETED, step)
        trainer.add_event_handler(Events.EPOCH_COMPLETED(every=2), validate)
        if resume_after:  # as TrainingState does where a training goes on
            trainer.add_event_handler(Events.STARTED, lambda engine: setattr(engine.state, "epoch", resume_after))
        EpochLog(tmp_path / "training.csv", tmp_path / "curves.png", [evaluator], optimizer).attach(trainer)
        trainer.run(BATCHES, max_epochs=epochs)
        return pd.read_csv(tmp_path / "training.csv")

    return run


def test_a_row_an_epoch_with_means_over_images(log, tmp_path):
    table = log(4, trainer_of())
    assert table["epoch"].tolist() == [1, 2, 3, 4]
    assert table["train_loss"].tolist() == pytest.approx([2.0] * 4)  # the mean over batches would be 3
    assert table["train_dice"].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert table["learning_rate"].tolist() == pytest.approx([0.8, 0.2, 0.05, 0.0125])  # that an epoch begins with
    assert table["val_dice"].isna().tolist() == [True, False, True, False]
    assert table["val_dice"].dropna().tolist() == pytest.approx([0.02, 0.04])
    rates = table["images_per_second"] * table["seconds"]
    assert (table["seconds"] >= 0).all() and (table["images_per_second"] > 0).all() and rates.max() < 8
    assert Image.open(tmp_path / "curves.png").width > 1000


def test_a_resumed_training_keeps_the_rows_before_and_no_others(log):
    log(4, trainer_of())
    table = log(4, trainer_of(factor=3.0), resume_after=2)  # killed in the fourth epoch, saved after the second
    assert table["epoch"].tolist() == [1, 2, 3, 4]
    assert table["train_loss"].tolist() == pytest.approx([2, 2, 6, 6])
    assert table["learning_rate"].tolist() == pytest.approx([0.8, 0.2, 0.05, 0.0125])


def test_a_new_training_begins_a_new_table(log):
    log(3, trainer_of())
    assert log(1, trainer_of(factor=3.0))["train_loss"].tolist() == pytest.approx([6])


def test_the_table_is_there_after_each_epoch_and_the_picture_at_the_end(log, tmp_path):
    trainer = trainer_of()
    seen = []

    @trainer.on(Events.EPOCH_STARTED)
    def look(engine):
        rows = len(pd.read_csv(tmp_path / "training.csv")) if (tmp_path / "training.csv").is_file() else 0
        seen.append((rows, (tmp_path / "curves.png").is_file()))

    log(3, trainer)
    assert seen == [(0, False), (1, False), (2, False)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "training.csv"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_the_bar_counts_images_on_a_terminal_alone(monkeypatch, terminal):
    shown = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    trainer = trainer_of([(4, 1.0)] * 3)
    TrainingProgress(batch_size=4).attach(trainer)
    trainer.run([(4, 1.0)] * 3, max_epochs=2)
    if terminal:
        assert "Epoch [2/2]" in shown.getvalue() and "/12]" in shown.getvalue() and "loss=1" in shown.getvalue()
    else:
        assert shown.getvalue() == ""


# MLflow ---------------------------------------------------------------------------------------------------------------


def recorded(uri, epochs=2, **more):
    """A training with a record in MLflow: its handler."""
    evaluator = Engine(lambda engine, batch: None)
    trainer = trainer_of()

    def validate(engine):
        evaluator.state.epoch = engine.state.epoch - 1
        evaluator.run([0], max_epochs=engine.state.epoch)
        evaluator.state.metrics["val_dice"] = engine.state.epoch / 100

    trainer.add_event_handler(Events.EPOCH_COMPLETED(every=2), validate)
    handler = MLFlowLog(uri, "lungs", {"image_size": 64}, [evaluator])
    handler.attach(trainer)
    trainer.run(BATCHES, max_epochs=epochs)
    return handler


def test_a_record_in_mlflow_holds_figures_and_no_names(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    uri = f"sqlite:///{tmp_path}/runs.db"
    recorded(uri)
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("lungs").experiment_id
    killed = client.create_run(experiment).info.run_id  # one that has not ended is not gone on with
    recorded(uri, epochs=3)
    runs = [run for run in client.search_runs(experiment) if run.info.run_id != killed]
    assert [run.info.status for run in runs] == ["FINISHED"] * 2 and not client.get_run(killed).data.metrics
    last = max(runs, key=lambda run: int(run.data.params["max_epochs"]))
    history = {name: client.get_metric_history(last.info.run_id, name) for name in ("train_loss", "val_dice")}
    assert [m.value for m in history["train_loss"]] == pytest.approx([loss for _, loss in BATCHES] * 3)
    assert [(m.step, m.value) for m in history["val_dice"]] == [(2, 0.02)]
    assert last.data.params == {"image_size": "64", "max_epochs": "3", "epoch_length": str(len(BATCHES))}
    assert set(last.data.tags) == {"mlflow.runName"} and getpass.getuser() not in last.info.user_id
    assert not client.list_artifacts(last.info.run_id)


def test_without_mlflow_or_with_a_place_that_it_cannot_use_there_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setattr(log_module, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"MLflow is not installed, .*pip install 'radbundles\[mlflow\]'"):
        recorded(f"sqlite:///{tmp_path}/runs.db")
    monkeypatch.undo()
    pytest.importorskip("mlflow")
    with pytest.raises(DataError, match=r"file:///runs: MLflow cannot keep its records there .* sqlite:///FILE\.db"):
        recorded("file:///runs")


def test_a_place_that_the_environment_names_otherwise_is_refused_and_no_password_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(log_module, "find_spec", lambda name: name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other:secret@there")
    with pytest.raises(DataError, match="the environment variable MLFLOW_TRACKING_URI names another place") as caught:
        log_module.check_mlflow("http://me:hidden@here")
    assert "http://here" in str(caught.value)
    assert not any(word in str(caught.value) for word in ("secret", "hidden", "me:"))


def test_a_server_that_is_not_there_is_told_at_the_start_without_its_password(monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(DataError, match="http://127.0.0.1:9: MLflow cannot keep its records there") as caught:
        log_module.check_mlflow("http://me:hidden@127.0.0.1:9")
    assert "hidden" not in str(caught.value) and caught.value.__cause__ is None


def test_what_mlflow_cannot_keep_is_warned_of_once_and_the_training_goes_on(tmp_path, caplog):
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    database = tmp_path / "runs.db"
    trainer, epochs = trainer_of(), []
    handler = MLFlowLog(f"sqlite:///{database}", "lungs", {}, [])
    handler.attach(trainer)

    @trainer.on(Events.EPOCH_COMPLETED)
    def lose(engine):
        epochs.append(engine.state.epoch)
        if engine.state.epoch == 1:
            with sqlite3.connect(database) as connection:
                connection.execute("DROP TABLE metrics")

    trainer.run(BATCHES, max_epochs=3)
    assert epochs == [1, 2, 3] and caplog.text.count("The training goes on, and its record ends here.") == 1
