"""Processes of their own that are stopped, as a cluster or a user does it. Kills: ``tests/stress/kills.py``."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from networks import read_checkpoint
from tests.conftest import ROOT
from tests.running import small

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("interrupts")]

NAME = "pneumonia"


def command(*arguments: object, **environment: str) -> subprocess.Popen:
    words = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.Popen(
        words,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    )


def training(cohort: Path, out: Path, *names: str) -> list[object]:
    """The command's arguments, of a training that would last for hours."""
    files = [f"bundles/{NAME}/configs/{name}.json" for name in ("train", *names)]
    settings = {"dataset_dir": cohort, "manifest": cohort / "manifest.json", "epochs": 100_000, **small(NAME)}
    settings |= {"ckpt_dir": out / "models", "output_dir": out / "eval", "cache_dir": out / "cache"}
    options = [word for key, value in settings.items() for word in (f"--{key}", value)]
    return ["monai.bundle", "run", "training", "--config_file", files, *options]


def wait_for(path: Path, *processes: subprocess.Popen) -> None:
    while not path.exists():
        assert all(process.poll() is None for process in processes), processes[0].communicate()
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_training_by_monai_s_command(cohort, tmp_path, number, code):
    process = command(*training(cohort, tmp_path))
    wait_for(tmp_path / "models" / "last_epoch.pt", process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code and "Traceback" not in errors
    assert errors.count(f"{number.name}: stopping at the next step") == 1
    assert read_checkpoint(tmp_path / "models" / "last_epoch.pt")["epoch"] >= 1
    assert not [name for name in os.listdir(tmp_path / "models") if name.startswith(".")]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_each_of_two_processes(cohort, tmp_path, number, code):
    """As torchrun starts them, which passes the signal on. It itself ends with 1 and a traceback of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    ranks = [
        command(
            *training(cohort, tmp_path, "multi_gpu_train"),
            **{
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": "2",
                "LOCAL_WORLD_SIZE": "2",
                "TORCHELASTIC_RUN_ID": "1",
            },
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for rank in ("0", "1")
    ]
    wait_for(tmp_path / "models" / "last_epoch.pt", *ranks)
    for rank in ranks:
        rank.send_signal(number)
        time.sleep(0.1)
    errors = [rank.communicate(timeout=120)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [code, code] and "Traceback" not in "".join(errors)
    assert [text.count("stopping at the next step") for text in errors] == [1, 0]
    assert sorted(os.listdir(tmp_path / "models")) == ["last_epoch.pt", "model.json", "model.pt"]


def test_a_second_training_in_the_folder_is_told_of_the_first(cohort, tmp_path):
    first = command(*training(cohort, tmp_path))
    wait_for(tmp_path / "models" / "last_epoch.pt", first)
    _, errors = command(*training(cohort, tmp_path)).communicate(timeout=120)
    first.terminate()
    first.communicate(timeout=120)
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert f"another run is writing there: process {first.pid} on " in line and "Traceback" not in errors


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_prediction_after_its_case(cohort, tmp_path, number, code):
    out, weights = tmp_path / "out", ["--weights", "bundles/lungs/models/model.pt"]
    arguments = ["pipelines", "predict", "lungs", "--input", cohort, "--output", out, *weights]
    process = command(*arguments)
    wait_for(out / "predictions.jsonl", process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    summary = json.loads((out / "summary.json").read_text())
    assert process.returncode == summary["exit_code"] == code and "Traceback" not in errors
    assert 0 < len(summary["done"]) < summary["cases"]
    assert not (out / ".lock").exists()
    assert command(*arguments).wait(timeout=300) == 0
    assert json.loads((out / "summary.json").read_text())["done_before"] == len(summary["done"])
