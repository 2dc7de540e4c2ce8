"""The short run: see ``python -m tests.stress``, whose long run is in ``docs/reliability.md``."""

from __future__ import annotations

import pytest

from tests.stress.__main__ import run
from tests.stress.mutants import READ, REFUSED
from tests.stress.packages import NOTHING, TOLD

KILLS, MUTANTS, PACKAGES = 8, 320, 12


@pytest.mark.slow
def test_nothing_gets_through():
    report = run(KILLS, MUTANTS, PACKAGES, seed=4)
    assert report.faults == []
    assert report.trainings.kills == report.kill_predictions.kills == KILLS // 2
    found = {**report.mutants.found, **report.weights.found}
    assert sum(kind.total() for kind in found.values()) == MUTANTS
    assert all(set(kind) <= {READ, REFUSED} for kind in found.values())
    assert sum(kind[REFUSED] for kind in found.values()) > MUTANTS / 4 < sum(kind[READ] for kind in found.values()) * 2
    assert report.predictions.found.total() == report.predictions.files == MUTANTS // 20
    assert report.packages.run == 0
    assert sum(kind[TOLD] + kind[NOTHING] for kind in report.packages.found.values()) == PACKAGES
    assert "| **all 320** |" in report.markdown()
