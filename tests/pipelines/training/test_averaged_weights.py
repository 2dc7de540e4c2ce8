"""Averaged weights: the average itself, worked by hand, how far back it reaches, and that of batch norm."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events

from pipelines import AveragedWeights


class Counting(torch.nn.Module):
    """Its weight is 0, and after the k-th step k."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))


def averages(steps, of):
    """The average after each of the first steps of a training that is planned to have ``of``."""
    network = Counting()
    averaged = AveragedWeights(network, of)
    found = []

    def step(engine, batch):
        with torch.no_grad():
            network.weight += 1

    trainer = Engine(step)
    averaged.attach(trainer)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: found.append(averaged.ema_model.weight.item()))
    trainer.run(range(steps))
    assert network.weight.item() == steps  # the average is another network
    return found


def test_the_average_worked_by_hand():
    """A tenth of each new weight: 0.1 * 1; 0.9 * 0.1 + 0.1 * 2; 0.9 * 0.29 + 0.1 * 3."""
    assert averages(3, of=100) == pytest.approx([0.1, 0.29, 0.561])


@pytest.mark.parametrize(
    ("of", "share"),
    [(1, 1 / 10), (450, 1 / 10), (1000, 1 / 22), (10_000, 1 / 220)],  # 10 steps, and 0.022 of those of long trainings
)
def test_it_reaches_back_as_far_as_the_training_is_long(of, share):
    assert averages(1, of) == pytest.approx([share])


def test_statistics_of_batch_norm_are_averaged_as_the_weights_are():
    """A batch of tens alone: the network's mean is 1, then 1.9, and its variance 0.9, then 0.81."""
    network = torch.nn.BatchNorm1d(1)
    averaged = AveragedWeights(network, 100)
    trainer = Engine(lambda engine, batch: network(batch))
    averaged.attach(trainer)
    trainer.run([torch.full((4, 1), 10.0)] * 2)
    own, average = network.state_dict(), averaged.ema_model.state_dict()
    assert (own["running_mean"].item(), own["running_var"].item()) == pytest.approx((1.9, 0.81))
    assert average["running_mean"].item() == pytest.approx(0.9 * 0.1 + 0.1 * 1.9)
    assert average["running_var"].item() == pytest.approx(0.9 * (0.9 + 0.1 * 0.9) + 0.1 * 0.81)
    assert own["num_batches_tracked"] == average["num_batches_tracked"] == 2
    assert network.training and not averaged.ema_model.training
