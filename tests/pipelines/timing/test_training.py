"""The benchmark of training: its table, and what it must have."""

from __future__ import annotations

import json
import re
import shutil
import sys

import pytest

from pipelines.bundle import Bundle
from pipelines.timing import training
from pipelines.timing.training import benchmark
from tests.running import bundle_of, small
from transforms import DataError

WAYS = ["usual way, not cached", "this bundle, not cached", "usual way, cached", "this bundle, cached"]


@pytest.fixture
def settings(monkeypatch, cohort, ct_cohort, tmp_path):
    """Of a bundle: a small network, a few images and few steps."""
    monkeypatch.setattr(training, "ROUNDS", 3)
    monkeypatch.setattr(training, "STEPS", 2)

    def make(name):
        data = ct_cohort if bundle_of(name).is_volumetric else cohort
        manifest = json.loads((data / "manifest.json").read_text())
        manifest["training"] = manifest["training"][: 1 if bundle_of(name).is_volumetric else 8]
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        places = {"dataset_dir": data, "manifest": tmp_path / "manifest.json", "cache_dir": tmp_path / "cache"}
        return {**small(name), "batch_size": 4, **{key: str(path) for key, path in places.items()}}

    return make


@pytest.mark.parametrize(("name", "ways"), [("pneumonia", WAYS), ("abdomen", WAYS[2:])])
def test_table_of_images_per_second_and_of_ratios_to_the_slowest(name, ways, settings, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "albumentations", None)  # not installed
    benchmark(bundle_of(name), **settings(name))
    first, head, *rows = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"medians of 3 rounds, \d+ cores", first)
    assert head.split() == ["images", "per", "second", "ratio", "loader", "augmentation"]
    found = [re.fullmatch(r"(.+?) +([\d.]+) +([\d.]+) +([\d.]+)% +([\d.]+)%", row).groups() for row in rows]
    assert [way for way, *_ in found] == ways  # nobody reads a volume for a slice: not cached, CT is not timed
    rates, ratios, waits, augmenting = ([float(row[column]) for row in found] for column in (1, 2, 3, 4))
    assert min(ratios) == 1 and all(0 <= wait + more <= 100 for wait, more in zip(waits, augmenting, strict=True))
    assert ratios == pytest.approx([rate / min(rates) for rate in rates], rel=0.02)
    assert any((tmp_path / "cache").iterdir())


def test_a_bundle_without_a_usual_way_has_nothing_to_be_compared_with(settings, tmp_path):
    shutil.copytree(bundle_of("lungs").root / "configs", tmp_path / "mine" / "configs")
    (tmp_path / "mine" / "configs" / "usual_way.json").unlink()
    with pytest.raises(DataError, match="usual_way.json: no such overlay"):
        benchmark(Bundle(tmp_path / "mine"), **settings("lungs"))
