"""``benchmark`` and ``latency``: what they call, with what."""

from __future__ import annotations

from pipelines.timing import latency, training


def test_benchmark_draws_phantoms_where_no_data_are_given(call):
    assert call("benchmark lungs", training, "benchmark") == (["lungs"], {})  # as the bundle's configuration does


def test_benchmark_takes_data(call):
    expected = {"manifest": "FILE", "dataset_dir": "DIR"}
    assert call("benchmark lungs --manifest FILE --dataset_dir DIR", training, "benchmark") == (["lungs"], expected)


def test_latency(call):
    assert call("latency lungs", latency, "latency") == (["lungs"], {})
