"""A worker: what it gives back, whatever happens in it. Here in this process."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
import torch

from pipelines.engines.worker import Worker, digest_of, opened
from transforms import Case, DataError, DiskError


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    """A worker has its process for itself."""
    handlers, threads, hook = logging.root.handlers, torch.get_num_threads(), sys.excepthook
    monkeypatch.chdir(".")
    yield
    logging.root.handlers, sys.excepthook = handlers, hook
    logging.captureWarnings(False)
    torch.set_num_threads(threads)


class Shouting:
    """Gives the name of each case back in capitals; what it does with some is in their names."""

    device = torch.device("cpu")

    def read(self, case):
        if case.path.stem == "warn":
            logging.getLogger("any").warning("of %s", case.path.name)
            logging.getLogger("any").info("not worth it")
        return case.path.stem

    def compute(self, batch):
        if "bug" in batch:
            raise ZeroDivisionError("of the program")
        return [name.upper() for name in batch]

    def write(self, name):
        if name == "FULL":
            raise DiskError("out: cannot be written.")
        return {"status": "done", "name": name}


def case(name):
    return Case(f"/in/{name}.png", (Path(f"/in/{name}.png"),), "0", False)


def test_records_come_back_in_order_with_what_was_said(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    answers = Worker(Shouting, tmp_path, tmp_path, {}, 2).do([case("a"), case("warn"), case("b")])
    logging.root.handlers.append(caplog.handler)
    assert [opened(answer)["name"] for answer in answers] == ["A", "WARN", "B"]
    assert [record.getMessage() for record in caplog.records] == ["of warn.png"]


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [("full", DiskError, "out: cannot be written."), ("bug", RuntimeError, "ZeroDivisionError: of the program")],
)
def test_what_is_no_fault_of_a_case_comes_back_for_all(tmp_path, name, kind, message):
    worker = Worker(Shouting, tmp_path, tmp_path, {}, 1)
    for answer in worker.do([case("a"), case(name)]):
        with pytest.raises(kind, match=message):
            opened(answer)
    assert opened(*worker.do([case("b")])) == {"status": "done", "name": "B"}


def test_relative_paths_are_those_of_the_command(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "model.pt").write_text("0")
    monkeypatch.chdir(tmp_path)
    model, digest = Path("model.pt"), digest_of(tmp_path / "here" / "model.pt")
    assert Worker(Shouting, tmp_path / "here", tmp_path, {model: digest}, 1).ready() == {}
    monkeypatch.chdir(tmp_path)
    assert Worker(Shouting, tmp_path / "gone", tmp_path, {model: digest}, 1).ready()["kind"] == "data"


def test_a_machine_without_the_shared_folder_does_nothing(tmp_path):
    lock = tmp_path / ".lock"
    lock.write_text("{}")
    shared = {lock: digest_of(lock)}
    assert Worker(Shouting, tmp_path, tmp_path, shared, 1).ready() == {}
    lock.write_text("another run's")
    for worker in (
        Worker(Shouting, tmp_path, tmp_path, shared, 1),
        Worker(Shouting, tmp_path, tmp_path, {tmp_path / "gone": "0"}, 1),
    ):
        assert worker.ready()
        with pytest.raises(DataError, match="is not the same on each machine. Input, output and bundle must be in"):
            opened(*worker.do([case("a")]))
