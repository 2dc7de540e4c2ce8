"""Cohorts by workers of Ray: what one process gives, whoever is killed, and nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from pipelines.__main__ import main
from pipelines.prediction import predict as prediction
from pipelines.prediction.records import Records
from tests.conftest import ROOT
from tests.pipelines.engines.deadly import ALWAYS, ONCE, deadly_stages
from tests.running import bundle_of, small
from tests.test_signals import wait_for

BUNDLE = "pneumonia"
PORT = 6399
NAME = "DOE_JANE"
LOST = "RADBUNDLES_TEST_LOST"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of a small network, which know nothing."""
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.manual_seed(0)
    network = bundle_of(BUNDLE).read(["inference"], **small(BUNDLE)).get_parsed_content("network_def")
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def images(cohort, tmp_path):
    """Twelve radiographs, one of them cut short."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, path in enumerate(sorted((cohort / "stage_2_train_images").iterdir())[:12]):
        shutil.copy(path, folder / f"{NAME}_{number:02}.dcm")
    cut = folder / f"{NAME}_05.dcm"
    cut.write_bytes(cut.read_bytes()[:1500])
    return folder


@contextmanager
def machine(number, *words, **variables):
    """A node of Ray with one core, at an address of this machine that nobody else can reach."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", *words]
    command += [f"--node-ip-address=127.0.0.{number}", "--object-store-memory=100000000", "--disable-usage-stats"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",  # and not where the command is given
        env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
        start_new_session=True,
    )
    try:
        said = ""
        while "Ray runtime started" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def cluster():
    """The address of two nodes, and where they keep their logs."""
    pytest.importorskip("ray")
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # a short path, as sockets need it
        head = ["--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={folder}"]
        with machine(2, *head), machine(3, f"--address=127.0.0.2:{PORT}"):
            yield f"127.0.0.2:{PORT}", Path(folder)


@pytest.fixture
def one_thread():
    """As each worker has: sums of floating point depend on how many share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(images, out, weights, **more):
    return prediction.predict(
        bundle_of(BUNDLE), dataset_dir=images, output_dir=out, weights=str(weights), **small(BUNDLE), **more
    )


def on_ray(images, out, weights, cluster, **more):
    return run(images, out, weights, engine="ray", address=cluster[0], workers=1, batch_size=2, **more)


def summary(out):
    return json.loads((out / "summary.json").read_text())


def outputs(out):
    """All files but those that say when, and where."""
    paths = (path for path in out.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {p.name: p.read_bytes() for p in paths if p.name not in ("predictions.jsonl", "summary.json")}


def last_records(out):
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    return {line["case"]: {key: line[key] for key in line if key != "seconds"} for line in lines}


@pytest.mark.slow
def test_two_machines_give_what_one_process_gives(images, weights, cluster, one_thread, tmp_path):
    """The same files, records and submission; a second time nothing is done again; Ray's logs name no image."""
    here, there = tmp_path / "here", tmp_path / "there"
    assert run(images, here, weights, submission=tmp_path / "here.csv") == 1
    assert on_ray(images, there, weights, cluster, submission=tmp_path / "there.csv") == 1
    assert outputs(there) == outputs(here) and len(outputs(here)) == 22
    assert (tmp_path / "there.csv").read_text() == (tmp_path / "here.csv").read_text()
    assert last_records(there) == last_records(here)
    assert summary(there) == summary(here)
    assert on_ray(images, there, weights, cluster) == 1
    assert summary(there)["done_before"] == 11
    logs = [path.read_bytes() for path in cluster[1].rglob("*") if path.is_file()]
    assert len(logs) > 5 and not any(NAME.encode() in log for log in logs)


@pytest.mark.slow
def test_killed_workers_lose_nothing_but_the_case_that_kills_them(
    images, weights, cluster, one_thread, tmp_path, monkeypatch, capsys
):
    whole, out = tmp_path / "whole", tmp_path / "out"
    for number, name in ((3, ONCE), (8, ALWAYS)):
        (images / f"{NAME}_{number:02}.dcm").rename(images / f"{name}.dcm")
    assert run(images, whole, weights) == 1
    monkeypatch.setattr(prediction, "stages_of", deadly_stages)
    assert on_ray(images, out, weights, cluster) == 1
    expected = outputs(whole)
    assert outputs(out) == {name: content for name, content in expected.items() if ALWAYS not in name}
    failed = {Path(case["case"]).stem: case["error"] for case in summary(out)["failed"]}
    assert failed.keys() == {ALWAYS, f"{NAME}_05"} and failed[ALWAYS].startswith("ended its worker 2 times")
    assert "each is done again, alone" in capsys.readouterr().out
    assert not list(out.rglob(".unfinished*"))
    monkeypatch.undo()
    assert on_ray(images, out, weights, cluster, retry=True) == 1
    assert outputs(out) == expected and summary(out)["done_before"] == 10


@pytest.mark.slow
def test_a_machine_that_is_lost_takes_no_case_with_it(images, weights, cluster, tmp_path, monkeypatch):
    """A third one is killed, with all its processes, as soon as the first case is done; its core does not come back."""
    out, append = tmp_path / "out", Records.append
    with machine(4, f"--address={cluster[0]}", **{LOST: str(tmp_path)}) as third:

        def append_and_kill(self, case, identity, record):
            append(self, case, identity, record)
            for process in processes(f"{LOST}={tmp_path}"):
                os.kill(process, signal.SIGKILL)

        monkeypatch.setattr(Records, "append", append_and_kill)
        assert on_ray(images, out, weights, cluster) == 1
        assert third.wait() == -signal.SIGKILL
    assert len(summary(out)["done"]) == 11


@pytest.mark.slow
def test_names_are_hidden_from_workers(images, weights, cluster, tmp_path):
    out = tmp_path / "out"
    assert on_ray(images, out, weights, cluster, hide_names=True) == 1
    assert len(summary(out)["done"]) == 11 and not (tmp_path / "out.names").exists()
    assert not any(NAME in name for name in outputs(out)) and NAME not in (out / "predictions.jsonl").read_text()


@pytest.mark.slow
def test_what_a_cluster_cannot_do_is_said(images, weights, cluster, tmp_path, capsys):
    words = ["predict", BUNDLE, "--input", str(images), "--output", str(tmp_path / "out"), "--weights", str(weights)]
    words += ["--engine", "ray", "--address"]
    assert main([*words, cluster[0], "--workers", "64"]) == 2
    assert f"no machine at {cluster[0]} has 64 cores for a worker: give --workers 1 or fewer" in capsys.readouterr().err
    assert main([*words, cluster[0]]) == 2  # the weights are of a smaller network
    assert "weights are those of another network" in capsys.readouterr().err


def processes(marker):
    """Those whose environment holds it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # it has ended
            continue
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_all_processes_and_the_same_command_continues(cohort, tmp_path, number, code):
    pytest.importorskip("ray")
    out, marker = tmp_path / "out", f"RADBUNDLES_TEST={tmp_path}"
    words = [
        sys.executable,
        "-m",
        "pipelines",
        "predict",
        "lungs",
        "--input",
        cohort,
        "--output",
        out,
        "--workers",
        "1",
    ]
    process = subprocess.Popen(
        [*map(str, words), "--engine", "ray", "--batch_size", "1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | dict([marker.split("=")]),
        start_new_session=True,
    )
    wait_for(out / "predictions.jsonl", process)
    assert len(processes(marker)) > 3
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)  # as a terminal does it
    said, errors = process.communicate(timeout=120)
    assert process.returncode == summary(out)["exit_code"] == code, said + errors
    assert errors.count(f"{number.name}: stopping at the next step") == 1
    assert "Traceback" not in errors and "***" not in errors
    done = len(summary(out)["done"])
    assert 0 < done < summary(out)["cases"]
    until = time.monotonic() + 20
    while processes(marker) and time.monotonic() < until:
        time.sleep(0.2)
    assert not processes(marker) and not list(out.rglob(".unfinished*")) and not (out / ".lock").exists()
    assert subprocess.run([*map(str, words), "--quiet"], cwd=ROOT, timeout=300).returncode == 0
    assert summary(out)["done_before"] == done


def test_without_ray_the_extra_is_named(images, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["predict", BUNDLE, "--input", str(images), "--output", str(tmp_path / "out"), "--weights", str(weights)]
    assert main([*words, "--engine", "ray"]) == 2
    assert (
        "--engine ray needs Ray Data, which is not installed: pip install 'radbundles[ray]'" in capsys.readouterr().err
    )
    assert main([*words, "--address", "auto"]) == 2
    assert "add --engine ray, or leave it out" in capsys.readouterr().err
