"""``benchmark`` and ``latency``: what they call, with what."""

from __future__ import annotations

import pytest

from pipelines.__main__ import main
from pipelines.timing import gpu, latency, outputs, prediction, reading, training
from tests.conftest import ROOT


def test_benchmark_draws_phantoms_where_no_data_are_given(call):
    assert call("benchmark training lungs", training, "benchmark") == (["lungs"], {})  # as the configuration does


def test_benchmark_of_training_takes_data(call):
    expected = {"manifest": "FILE", "dataset_dir": "DIR"}
    line = "benchmark training lungs --manifest FILE --dataset_dir DIR"
    assert call(line, training, "benchmark") == (["lungs"], expected)


@pytest.mark.parametrize(
    ("subject", "module"),
    [("gpu", gpu), ("reading", reading), ("outputs", outputs), ("prediction", prediction), ("growth", prediction)],
)
def test_each_subject_is_timed_by_its_function(call, subject, module):
    assert call(f"benchmark {subject} lungs", module, subject) == (["lungs"], {})


def test_subjects_that_are_drawn_take_no_data(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["benchmark", "reading", "lungs", "--dataset_dir", "DIR"]) == 1
    assert "leave out --manifest and --dataset_dir" in capsys.readouterr().err


def test_latency(call):
    assert call("latency lungs", latency, "latency") == (["lungs"], {})
