"""The engine of this process: in order, in batches, and ending as the cases that it is given end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipelines.engines.local import LocalEngine
from transforms import Case


class Counting:
    """Notes how many cases are computed at once."""

    def __init__(self, device="cpu"):
        self.device, self.batches = torch.device(device), []

    def read(self, case):
        return case.path.stem

    def compute(self, batch):
        self.batches.append(len(batch))
        return batch

    def write(self, name):
        return {"status": "done", "name": name}


CASES = [Case(f"/in/{n}.png", (Path(f"/in/{n}.png"),), "0", False) for n in range(5)]


@pytest.mark.parametrize(("device", "batches"), [("cpu", [2, 2, 1]), ("meta", [5])])
def test_cases_come_back_in_order_and_in_batches_that_suit_the_device(device, batches):
    with LocalEngine(lambda: Counting(device), workers=2, batch_sizes=(2, 8)) as engine:
        done = list(engine.each(CASES, lambda: None))
        assert [(case, record["name"]) for case, record in done] == [(case, case.path.stem) for case in CASES]
        assert engine.stages.batches == batches
        assert engine.alone(CASES[3], lambda: None)["name"] == "3" and engine.stages.batches[-1] == 1


def test_what_was_taken_is_done_before_an_error_of_the_cases():
    def three():
        yield from CASES[:3]
        raise KeyboardInterrupt

    done = []
    with LocalEngine(Counting, workers=1, batch_sizes=(2, 2)) as engine:
        cases = (case for case, _ in engine.each(three(), lambda: None))
        with pytest.raises(KeyboardInterrupt):
            done.extend(cases)
    assert done == CASES[:3]
