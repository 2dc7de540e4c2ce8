"""The folds: each patient is tested on once, nobody is in two splits, and other folds are refused."""

from __future__ import annotations

import json

import pytest

from pipelines.crossvalidation.folds import check_same_folds, write_folds
from pipelines.manifests.manifest import read_manifest
from transforms import DataError

CHOSEN = {"folds": 3, "seed": 1}


def test_each_patient_is_tested_on_once(cohort, tmp_path):
    manifest = read_manifest(cohort / "manifest.json")
    written = write_folds(manifest, tmp_path, CHOSEN)
    tested = [entry["image"] for _, entries in written for entry in entries]
    whole = [entry["image"] for split in ("training", "validation", "test") for entry in manifest[split]]
    assert sorted(tested) == sorted(whole) and len(written) == 3
    for path, entries in written:
        assert read_manifest(path)["test"] == entries  # which refuses a patient in two splits


def test_results_of_other_settings_and_other_folds_are_refused(cohort, tmp_path):
    manifest = read_manifest(cohort / "manifest.json")
    (first, _), (second, _), _ = write_folds(manifest, tmp_path, CHOSEN)
    assert write_folds(manifest, tmp_path, CHOSEN)[0][0] == first
    check_same_folds(first, first)
    with pytest.raises(DataError, match=r"fold_1\.json: is another fold"):
        check_same_folds(first, second)
    with pytest.raises(DataError, match=r"holds a cross-validation with other settings \(seed\)"):
        write_folds(manifest, tmp_path, CHOSEN | {"seed": 2})
    assert json.loads((tmp_path / "settings.json").read_text())["seed"] == 1
