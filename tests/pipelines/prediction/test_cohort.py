"""What becomes of the cases of a run, whatever engine does them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pipelines.prediction.cohort import NEVER_ENDED, Cohort
from pipelines.prediction.records import Records
from transforms import Case


class Forgetful(AbstractContextManager):
    """An engine whose workers end in some cases, and which tells what it was given."""

    def __init__(self, lost=(), ends_with_its_cases=False):
        self.lost, self.ends_with_its_cases, self.opened, self.together, self.single = (
            lost,
            ends_with_its_cases,
            0,
            [],
            [],
        )

    def __enter__(self):
        self.opened += 1
        return self

    def __exit__(self, *error):
        return None

    def alone(self, case, check):
        self.single.append(case.path.name)
        if case.path.name == "bad":
            return {"status": "failed", "error": "ended its worker"}
        return {"status": "done", "seconds": 0, "outputs": {}}

    def each(self, cases, check):
        for case in reversed(list(cases)):
            self.together.append(case.path.name)
            if case.path.name not in self.lost:
                yield case, {"status": "done", "seconds": 0, "outputs": {}}


def cases(*names):
    return [Case(f"/in/{name}", (Path(f"/in/{name}"),), name, False) for name in names]


def cohort(folder, *names):
    return Cohort(cases(*names), Path("/in"), Records(folder, "settings"))


def test_cases_that_do_not_come_back_are_done_alone(tmp_path):
    engine, made = Forgetful(lost=("b", "bad")), cohort(tmp_path, "a", "b", "bad", "c")
    made.run(engine, "trying", retry=False)
    assert engine.together == ["c", "bad", "b", "a"] and engine.single == ["b", "bad"]
    assert sorted(made.done) == ["/in/a", "/in/b", "/in/c"] and made.failed == {"/in/bad": "ended its worker"}
    again = cohort(tmp_path, "a", "b", "bad", "c")
    assert sorted(again.done) == ["/in/a", "/in/b", "/in/c"]
    again.run(engine, "trying", retry=False)
    assert engine.together[4:] == ["bad"]  # what failed is tried again


def test_an_engine_is_not_opened_for_nothing(tmp_path):
    engine = Forgetful()
    cohort(tmp_path, "a").run(engine, "trying", retry=False)
    cohort(tmp_path, "a").run(engine, "trying", retry=False)
    assert engine.opened == 1


@pytest.mark.parametrize("ends", [True, False])
def test_what_is_begun_is_noted_where_a_case_can_end_all(tmp_path, ends):
    cohort(tmp_path, "a", "b").run(Forgetful(lost=("b",), ends_with_its_cases=ends), "trying", retry=False)
    lines = (tmp_path / "predictions.jsonl").read_text()
    assert lines.count('"started"') == (3 if ends else 1)  # that of b, which is done alone, is noted by all


def test_a_case_that_ended_a_run_is_alone_then_passed_over_until_it_is_asked_for(tmp_path):
    records = Records(tmp_path, "settings")
    records.start("a", "a")
    engine = Forgetful()
    cohort(tmp_path, "a", "b").run(engine, "trying", retry=False)
    assert engine.single == ["a"] and engine.together == ["b"]
    records.append("a", "a", {"status": "started", "alone": True})
    made = cohort(tmp_path, "a", "b")
    made.run(engine, "trying", retry=False)
    assert made.failed == {"/in/a": NEVER_ENDED} and engine.single == ["a"]
    made = cohort(tmp_path, "a", "b")
    made.run(engine, "trying", retry=True)
    assert made.failed == {} and engine.single == ["a", "a"]
