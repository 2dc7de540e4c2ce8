"""A training's parts before an interruption and after it, against the same training without one."""

from __future__ import annotations

import logging

import pytest
import torch
from monai.engines import SupervisedTrainer

from networks import WeightsError
from pipelines.resuming.restore import check_depends_on, read_state, restore, schedule_values
from transforms import DataError


@pytest.fixture
def training():
    """A trainer of a line through the origin: two steps an epoch, its rate of 0.1 halved after each step."""

    def build(rate=0.1, gamma=0.5, optimizer=torch.optim.SGD, outputs=1, **settings):
        torch.manual_seed(0)
        network = torch.nn.Linear(1, outputs, bias=False)
        stepper = optimizer(network.parameters(), lr=rate, **settings)
        schedule = torch.optim.lr_scheduler.ExponentialLR(stepper, gamma)
        data = [{"image": torch.ones(1), "label": torch.ones(1)}] * 2
        trainer = SupervisedTrainer("cpu", 1, data, network, stepper, torch.nn.MSELoss(), epoch_length=2)
        return trainer, network, stepper, schedule

    return build


def state_of(trainer, network, stepper, schedule):
    """What :class:`pipelines.training.state.TrainingState` keeps of them, after one epoch of two steps."""
    for _ in range(2):
        stepper.zero_grad()
        (network(torch.ones(1, 1)) - 1).square().sum().backward()
        stepper.step()
        schedule.step()
    return {
        **{"epoch": 1, "iteration": 2, "trained_on": "x", "best_metric": 0.5, "best_metric_epoch": 1},
        **{"model": network.state_dict(), "optimizer": stepper.state_dict()},
        "lr_scheduler": schedule_values(schedule),
    }


def saved(tmp_path, state):
    torch.save(state, tmp_path / "last_epoch.pt")
    return tmp_path / "last_epoch.pt"


def test_weights_moments_and_the_schedules_progress_come_back(training, tmp_path):
    path = saved(tmp_path, state_of(*(before := training(momentum=0.9))))
    trainer, network, stepper, schedule = training(momentum=0.9)
    restore(read_state(path), path, trainer, network, stepper, schedule, None)
    assert torch.equal(network.weight, before[1].weight) and stepper.param_groups[0]["lr"] == 0.1 / 4
    moments = [next(iter(part.state_dict()["state"].values()))["momentum_buffer"] for part in (stepper, before[2])]
    assert torch.equal(*moments)
    assert (trainer.state.epoch, trainer.state.iteration, schedule.last_epoch) == (1, 2, 2)


def test_what_is_planned_comes_from_the_configuration(training, tmp_path, caplog):
    path = saved(tmp_path, state_of(*training(weight_decay=0.5)))
    trainer, network, stepper, schedule = training(gamma=0.1, weight_decay=0.25)
    with caplog.at_level(logging.WARNING):
        restore(read_state(path), path, trainer, network, stepper, schedule, None)
    assert "planned differently before the interruption (gamma)" in caplog.text
    assert stepper.param_groups[0]["weight_decay"] == 0.25
    schedule.step()
    assert stepper.param_groups[0]["lr"] == pytest.approx(0.1 / 4 * 0.1)  # of the file, times the new factor


def test_averaged_weights_come_back(training, tmp_path):
    state = state_of(*training())
    path = saved(tmp_path, state | {"averaged": {"weight": torch.full((1, 1), 7.0)}})
    trainer, network, stepper, schedule = training()
    averaged = torch.nn.Linear(1, 1, bias=False)
    restore(read_state(path), path, trainer, network, stepper, schedule, averaged)
    assert averaged.weight.item() == 7 and torch.equal(network.weight, state["model"]["weight"])


def test_a_state_of_another_network_or_optimizer_is_refused(training, tmp_path):
    path = saved(tmp_path, state_of(*training()))
    with pytest.raises(WeightsError, match=r"last_epoch\.pt"):
        restore(read_state(path), path, *training(outputs=2), None)
    trainer, network, _, schedule = training()
    several = torch.optim.SGD([{"params": [network.weight]}, {"params": [torch.nn.Parameter(torch.ones(1))]}], lr=0.1)
    with pytest.raises(DataError, match="another than the configured one"):
        restore(read_state(path), path, trainer, network, several, schedule, None)


def test_what_is_no_state_is_told(tmp_path):
    path = tmp_path / "last_epoch.pt"
    with pytest.raises(DataError, match="nothing to resume from") as error:
        read_state(path)
    assert "previous" not in str(error.value)
    torch.save({}, tmp_path / "last_epoch.previous.pt")
    with pytest.raises(DataError, match=r"last_epoch\.previous\.pt is that of an earlier training: rename it"):
        read_state(path)
    torch.save({"epoch": 1}, path)
    with pytest.raises(WeightsError, match="lacks iteration, model, trained_on"):
        read_state(path)


def test_another_number_of_processes_is_taken_by_auto_alone(tmp_path):
    path, state = tmp_path / "last_epoch.pt", {"depends_on": {"seed": 0, "processes": 4}}
    check_depends_on(state, {"seed": 0, "processes": 1}, path, "auto")
    with pytest.raises(DataError, match="processes: 4 -> 1"):
        check_depends_on(state, {"seed": 0, "processes": 1}, path, True)


def test_all_else_is_refused_by_auto_too(tmp_path, caplog):
    path, state = tmp_path / "last_epoch.pt", {"depends_on": {"seed": 0, "processes": 4}}
    with pytest.raises(DataError, match="seed: 0 -> 1"):
        check_depends_on(state, {"seed": 1, "processes": 1}, path, "auto")
    check_depends_on(state, {"seed": 1, "processes": 1}, path, "force")
    assert "seed: 0 -> 1" in caplog.text and "processes: 4 -> 1" in caplog.text
