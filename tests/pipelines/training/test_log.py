"""What a person sees of a training: the table, its means worked by hand, and the bar."""

from __future__ import annotations

import io
import sys

import pandas as pd
import pytest
import torch
from ignite.engine import Engine, Events
from PIL import Image

from pipelines import EpochLog, TrainingProgress

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
