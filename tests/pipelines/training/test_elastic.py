"""A training by processes that come and go, started as the documents say: it does what one process does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from ignite import distributed as idist
from monai.bundle import ConfigParser
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from networks import read_checkpoint
from pipelines import TrainingState, share_of_batch
from pipelines.phantoms.radiographs import draw_phantoms
from tests.conftest import ROOT
from transforms import DataError

EPOCHS, BATCH = 50, 4
# Or a machine that joins later waits for an address that the first one said in an earlier round (torch 2.13)
SEPARATE_STORES = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
# Instance norm, as batch norm is synchronised on GPUs alone; no augmentation, as each process draws its own
SETTINGS = {
    "precision": "float32",
    "image_size": 32,
    "network_def#network#channels": [4, 8],
    "network_def#network#strides": [2],
    "network_def#network#norm": "INSTANCE",
    "train#random_transforms": [],
    "epochs": EPOCHS,
    "val_interval": 10,
}


def files(*names: str) -> list[str]:
    return [str(ROOT / "bundles/lungs/configs" / f"{name}.json") for name in names]


def folders(out: Path) -> dict[str, str]:
    return {"ckpt_dir": str(out / "models"), "output_dir": str(out / "eval"), "cache_dir": str(out / "cache")}


def losses(out: Path) -> dict[int, float]:
    """Of each step: the last that was said of it, as an epoch that is cut short is done again."""
    found = {}
    for events in sorted((out / "eval" / "tensorboard").rglob("events*"), key=lambda path: path.stat().st_mtime):
        written = EventAccumulator(str(events)).Reload()
        if "train_loss" in written.Tags()["scalars"]:  # it was not killed before
            found |= {event.step: event.value for event in written.Scalars("train_loss")}
    return dict(sorted(found.items()))


class Machine:
    """torchrun with one process, as on a machine of its own; and with what it has started, a group to kill."""

    def __init__(self, port: int, arguments: list[str], log: Path, host: bool = False):
        launcher = ["-m", "torch.distributed.run", "--nnodes=1:2", "--nproc_per_node=1", "--max_restarts=3"]
        launcher += ["--rdzv_id=test", "--rdzv_backend=c10d", f"--rdzv_endpoint=127.0.0.1:{port}"]
        launcher += [f"--rdzv_conf=last_call_timeout=5,read_timeout=300,is_host={int(host)}", "--monitor_interval=0.5"]
        self.log = log
        command, environment = [sys.executable, *launcher, *arguments], {**os.environ, **SEPARATE_STORES}
        with open(log, "w") as stream:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=stream, stderr=stream, env=environment, start_new_session=True
            )

    def kill(self) -> None:
        started = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        for number in (self.process.pid, *map(int, started.split())):  # a session of its own for each
            os.kill(number, signal.SIGKILL)
        self.process.wait()


def wait_for(condition, machines, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        for machine in machines:
            assert machine.process.poll() in (None, 0), machine.log.read_text()[-3000:]
        assert time.monotonic() < end, "\n".join(machine.log.read_text()[-3000:] for machine in machines)
        time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes where Linux shows them")
def test_a_machine_that_is_lost_and_one_that_joins_change_nothing_in_what_is_learnt(tmp_path):
    draw_phantoms(tmp_path / "cohort", patients=20, size=64, seed=3, truth="lungs")
    data = {"dataset_dir": str(tmp_path / "cohort"), "manifest": str(tmp_path / "cohort" / "manifest.json")}
    manifest = json.loads((tmp_path / "cohort" / "manifest.json").read_text())
    manifest["training"] = manifest["training"][: len(manifest["training"]) // BATCH * BATCH]
    (tmp_path / "cohort" / "manifest.json").write_text(json.dumps(manifest))

    # each step of the processes takes a moment, so that there is time to come and go
    pace = "$@train#trainer.add_event_handler(ie.Events.ITERATION_COMPLETED, lambda engine: time.sleep(0.25))"
    imports = ["$import time", "$import ignite.engine as ie"]
    overlay = {"+imports": imports, "pace": pace, "training": ["$@pace", "$@train#trainer.run()"]}
    (tmp_path / "pace.json").write_text(json.dumps(overlay))
    out = tmp_path / "elastic"
    config = [*files("train", "multi_gpu_train", "elastic"), str(tmp_path / "pace.json")]
    settings = {"bundle_root": ROOT / "bundles/lungs", **data, **folders(out), **SETTINGS, "global_batch_size": BATCH}
    arguments = ["-m", "monai.bundle", "run", "training", "--config_file", str(config)]
    arguments += [str(part) for name, value in settings.items() for part in (f"--{name}", value)]
    port, state = free_port(), out / "models" / "last_epoch.pt"

    def epoch_and_processes():
        if not state.is_file():
            return 0, 0
        found = read_checkpoint(state)
        return found["epoch"], found["depends_on"]["processes"]

    machines = [Machine(port, arguments, tmp_path / "first.log", host=True)]
    try:
        machines.append(Machine(port, arguments, tmp_path / "second.log"))
        wait_for(lambda: epoch_and_processes()[1] == 2 and epoch_and_processes()[0] >= 2, machines)
        machines.pop().kill()
        at = epoch_and_processes()[0]
        wait_for(lambda: epoch_and_processes()[1] == 1 and epoch_and_processes()[0] >= at + 2, machines)
        machines.append(Machine(port, arguments, tmp_path / "third.log"))
        at = epoch_and_processes()[0]
        wait_for(lambda: epoch_and_processes()[1] == 2 and epoch_and_processes()[0] > at, machines)
        wait_for(lambda: all(machine.process.poll() == 0 for machine in machines), machines)
    finally:
        for machine in machines:
            if machine.process.poll() is None:
                machine.kill()

    alone = ConfigParser()
    alone.read_config(files("train"))
    alone.update({"bundle_root": str(ROOT / "bundles/lungs"), **data, **folders(tmp_path / "alone"), **SETTINGS})
    order = {**json.loads(Path(files("multi_gpu_train")[0]).read_text())["train#sampler"], "num_replicas": 1, "rank": 0}
    alone.update({"batch_size": BATCH, "train#sampler": order, "train#dataloader#shuffle": False})
    alone.update({"train#dataloader#sampler": "@train#sampler"})
    alone.parse(True)
    for index in range(len(alone["initialize"])):
        alone.get_parsed_content(f"initialize#{index}")
    alone.get_parsed_content("train#trainer").run()

    together, by_one = losses(out), losses(tmp_path / "alone")
    assert together.keys() == by_one.keys() and len(by_one) == EPOCHS * len(manifest["training"]) / BATCH
    assert list(together.values()) == pytest.approx(list(by_one.values()), abs=2e-3)
    log, alone_log = (pd.read_csv(each / "eval" / "training.csv") for each in (out, tmp_path / "alone"))
    assert log["epoch"].tolist() == list(range(1, EPOCHS + 1))
    dice = "val_dice_by_image_over_stressed"  # of the averaged weights
    assert log[dice].tolist() == pytest.approx(alone_log[dice].tolist(), abs=5e-3, nan_ok=True)


@pytest.mark.parametrize(("processes", "share", "warned"), [(1, 8, ""), (4, 2, ""), (3, 3, "so 9"), (20, 1, "so 20")])
def test_the_share_of_a_batch(monkeypatch, caplog, processes, share, warned):
    monkeypatch.setattr(idist, "get_world_size", lambda: processes)
    assert share_of_batch(8) == share and len(caplog.messages) == bool(warned) and warned in caplog.text


def test_auto_is_a_word_for_resuming_and_others_are_not(tmp_path):
    with pytest.raises(DataError, match="give --resume True, False, force or auto"):
        TrainingState(tmp_path, torch.nn.Linear(1, 1), None, None, resume="always")
