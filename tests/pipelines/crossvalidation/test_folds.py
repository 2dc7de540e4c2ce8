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


def test_a_kept_test_split_is_in_no_fold(cohort, tmp_path):
    manifest = read_manifest(cohort / "manifest.json")
    written = write_folds(manifest, tmp_path, CHOSEN | {"keep_test": True})
    kept = read_manifest(tmp_path / "kept_test.json")
    assert (kept["training"], kept["validation"]) == ([], [])
    assert sorted(e["image"] for e in kept["test"]) == sorted(e["image"] for e in manifest["test"]) != []
    people = {entry["patient_id"] for entry in kept["test"]}
    for path, _ in written:
        fold = read_manifest(path)
        entries = [entry for split in ("training", "validation", "test") for entry in fold[split]]
        assert not people & {entry["patient_id"] for entry in entries}
        assert not {entry["image"] for entry in entries} & {entry["image"] for entry in manifest["test"]}
        assert len(entries) == len(manifest["training"]) + len(manifest["validation"])
    with pytest.raises(DataError, match=r"other settings \(images, keep_test\)"):
        write_folds(manifest, tmp_path, CHOSEN)


def test_there_must_be_a_test_split_to_keep_and_patients_without_it(cohort, tmp_path):
    manifest = read_manifest(cohort / "manifest.json")
    with pytest.raises(DataError, match="--keep_test: the manifest's test split is empty"):
        write_folds(manifest | {"test": []}, tmp_path, CHOSEN | {"keep_test": True})
    with pytest.raises(DataError, match=r"8 folds need .* the manifest has \d+ without its test split"):
        write_folds(manifest, tmp_path, {"folds": 8, "seed": 1, "keep_test": True})
