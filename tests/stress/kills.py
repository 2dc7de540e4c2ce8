"""Trainings and predictions that are killed at random moments (SIGKILL) and started again until they are done."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from networks import read_checkpoint
from pipelines.phantoms.radiographs import draw_phantoms
from pipelines.prediction.cohort import NEVER_ENDED
from pipelines.prediction.predict import predict
from tests.running import Trained, bundle_of, draw, small

from .apart import run_apart, was_killed

NAME, EPOCHS = "pneumonia", 40
EACH = 10  # kills of one training or prediction, at most
PREDICTS, IMAGES = "lungs", 40


@dataclass
class Kills:
    """What came of the kills of one kind.

    Attributes:
        kills: how many came before the end.
        runs: how many were killed, started again and brought to their end.
        faults: what was lost, or is not as without kills.
        passed_over: cases in which a kill came, and which the next runs passed over.
    """

    kills: int = 0
    runs: int = 0
    faults: list[str] = field(default_factory=list)
    passed_over: int = 0

    def check(self, fine: bool, fault: str) -> None:
        if not fine:
            self.faults.append(f"run {self.runs}: {fault}")


def _unfinished(*folders: Path) -> list[str]:
    return [path.name for folder in folders for path in folder.rglob("*") if path.name.startswith(".")]


# Training -----------------------------------------------------------------------------------------------------------


def _train(cohort: Path, folder: Path, cache: Path, resume: bool) -> None:
    """In the process that is killed."""
    torch.set_num_threads(1)
    plan = {"epochs": EPOCHS, "lr_scheduler#total_steps": "$@epochs * len(@train#dataloader)"}
    Trained(NAME, cohort, folder, small(NAME)).train(cache_dir=cache, resume=resume, **plan)


def _start_training(cohort: Path, folder: Path, cache: Path) -> Any:
    folder.mkdir(exist_ok=True)
    resume = (folder / "models" / "last_epoch.pt").is_file()
    return run_apart(_train, folder / "log", cohort, folder, cache, resume)


@contextmanager
def _watched(path: Path) -> Iterator[list[float]]:
    """Notes when a file is not there, once it was."""
    gone: list[float] = []
    over = threading.Event()

    def watch() -> None:
        seen = False
        while not over.wait(0.0001):
            there = path.is_file()
            if seen and not there:
                gone.append(time.time())
            seen = seen or there

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield gone
    finally:
        over.set()
        watcher.join()


def kill_trainings(kills: int, seed: int, scratch: Path) -> Kills:
    """Kill trainings, and compare each one's end with that of a training that was never killed."""
    found, chance = Kills(), random.Random(seed)
    cohort, cache, whole = draw(NAME, scratch / "cohort"), scratch / "cache", scratch / "whole"
    process = _start_training(cohort, whole, cache)
    process.join()
    if process.exitcode != 0:
        raise RuntimeError((whole / "log").read_text()[-2000:])
    while found.kills < kills:
        found.runs += 1
        folder = scratch / f"killed_{found.runs}"
        model, state = folder / "models" / "model.pt", folder / "models" / "last_epoch.pt"
        until, epoch = min(kills, found.kills + EACH), 0
        with _watched(model) as gone:
            while found.kills < until and epoch < EPOCHS:
                process = _start_training(cohort, folder, cache)
                time.sleep(chance.uniform(0.2, 3.0))
                found.kills += was_killed(process)
                if state.is_file():
                    before, epoch = epoch, read_checkpoint(state)["epoch"]
                    found.check(epoch >= before, f"epoch {before} was lost")
                    read_checkpoint(model)
            process = _start_training(cohort, folder, cache)
            process.join()
        found.check(process.exitcode == 0, f"ended with {process.exitcode}: {(folder / 'log').read_text()[-500:]}")
        found.check(not gone, f"{len(gone)} times there was no model")
        if process.exitcode == 0:
            _compare_trainings(whole, folder, found)
        found.check(not (left := _unfinished(folder, cache)), f"left behind: {left}")
    return found


def _compare_trainings(whole: Path, killed: Path, found: Kills) -> None:
    states = [read_checkpoint(folder / "models" / "last_epoch.pt") for folder in (whole, killed)]
    found.check(states[0]["epoch"] == states[1]["epoch"] == EPOCHS, "another number of epochs")
    found.check(_same(states[0]["model"], states[1]["model"]), "another last epoch")
    models = [read_checkpoint(folder / "models" / "model.pt") for folder in (whole, killed)]
    found.check(_same(*models), "another model")
    abouts = [json.loads((folder / "models" / "model.json").read_text()) for folder in (whole, killed)]
    found.check(abouts[0] == abouts[1], "another model.json")
    timed = ["seconds", "images_per_second"]
    tables = [pd.read_csv(folder / "eval" / "training.csv").drop(columns=timed) for folder in (whole, killed)]
    found.check(tables[0].equals(tables[1]), "another training.csv")


def _same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Prediction ---------------------------------------------------------------------------------------------------------


def _predict(images: Path, out: Path, weights: Path, retry: bool) -> int:
    torch.set_num_threads(1)
    return predict(
        bundle_of(PREDICTS), dataset_dir=images, output_dir=out, weights=str(weights), retry=retry, **small(PREDICTS)
    )


def make_weights(bundle: str, path: Path) -> Path:
    """Weights of the small network of a bundle, which know nothing."""
    torch.manual_seed(0)
    network = bundle_of(bundle).read(["inference"], **small(bundle)).get_parsed_content("network_def")
    torch.save(network.state_dict(), path)
    return path


def kill_predictions(kills: int, seed: int, scratch: Path) -> Kills:
    """Kill predictions, and compare each one's outputs with those of one that was never killed."""
    found, chance = Kills(), random.Random(seed)
    images = Path(draw_phantoms(scratch / "cohort", patients=IMAGES, size=96, seed=3, truth=PREDICTS)) / "images"
    weights = make_weights(PREDICTS, scratch / "weights.pt")

    def start(out: Path, retry: bool = False) -> Any:
        out.mkdir(exist_ok=True)
        return run_apart(_predict, scratch / f"{out.name}.log", images, out, weights, retry)

    def finish(out: Path, retry: bool = False) -> int:
        process = start(out, retry)
        process.join()
        return process.exitcode

    finish(scratch / "first")  # which starts the server of forks
    began = time.monotonic()
    if (code := finish(scratch / "whole")) != 0:
        raise RuntimeError(f"{code}: {(scratch / 'whole.log').read_text()[-2000:]}")
    usual, expected = time.monotonic() - began, _outputs(scratch / "whole")
    while found.kills < kills:
        found.runs += 1
        out, before = scratch / f"out_{found.runs}", found.kills
        while found.kills < min(kills, before + EACH):
            process = start(out)
            time.sleep(chance.uniform(0, usual))
            if not was_killed(process):
                usual *= 0.9  # it was done by then
                break
            found.kills += 1
        if found.kills > before:
            _finish_predictions(out, lambda retry, out=out: finish(out, retry), expected, found)
    return found


def _finish_predictions(out: Path, finish: Callable[[bool], int], expected: dict[str, bytes], found: Kills) -> None:
    code = finish(False)
    failed = json.loads((out / "summary.json").read_text())["failed"]
    found.check(code == (1 if failed else 0), f"ended with {code}, {len(failed)} cases failed")
    found.check(all(case["error"] == NEVER_ENDED for case in failed), f"another failure: {failed}")
    found.passed_over += len(failed)
    made = _outputs(out)
    stems = {Path(case["case"]).stem for case in failed}
    lost = [name for name in expected if name not in made and not name.startswith(tuple(f"{stem}_" for stem in stems))]
    found.check(not lost, f"lost: {lost}")
    code = finish(True)
    found.check(code == 0, f"with --retry ended with {code}")
    found.check(_outputs(out) == expected, "other outputs")
    found.check(not (left := _unfinished(out)), f"left behind: {left}")


def _outputs(out: Path) -> dict[str, bytes]:
    """All files but those that say when."""
    paths = (path for path in sorted(out.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return {
        str(p.relative_to(out)): p.read_bytes() for p in paths if p.name not in ("predictions.jsonl", "summary.json")
    }
