"""Manifests: reading, checking, and lists of data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.manifests.manifest import datalist, read_manifest
from pipelines.manifests.rsna_pneumonia import IMAGES
from transforms import DataError


def test_datalist_has_whole_paths(cohort):
    items = datalist(cohort / "manifest.json", cohort, "training")
    assert all(Path(item["image"]).parent == cohort / IMAGES for item in items)
    assert all(set(item) == {"image", "boxes"} for item in items)


def spoil(cohort, tmp_path, change):
    manifest = json.loads((cohort / "manifest.json").read_text())
    change(manifest)
    path = tmp_path / "spoilt.json"
    path.write_text(json.dumps(manifest))
    return path


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda m: m.update(manifest_version=2),
            r"spoilt\.json: is not a manifest of version 1: at manifest\.manifest_version",
        ),
        (lambda m: m.update(task="two words"), r"at manifest\.task"),
        (lambda m: m.pop("licence"), "'licence' is a required property"),
        (lambda m: m["training"][0].pop("boxes"), r"at manifest\.training\[0\]"),
        (lambda m: m["test"][0].update(boxes=[[1, 2, 3]]), r"at manifest\.test\[0\]\.boxes\[0\]"),
        (lambda m: m["test"].append(m["training"][0]), r"the patient of test\[\d\] is in training too"),
    ],
)
def test_manifest_of_another_schema(cohort, tmp_path, change, match):
    with pytest.raises(DataError, match=match):
        read_manifest(spoil(cohort, tmp_path, change))


def test_manifest_that_is_missing_or_no_json(tmp_path):
    with pytest.raises(DataError, match="no such manifest.*python -m pipelines manifest KIND"):
        read_manifest(tmp_path / "gone.json")
    (tmp_path / "x.json").write_text("patientId,x,y")
    with pytest.raises(DataError, match="is not JSON"):
        read_manifest(tmp_path / "x.json")


def test_missing_image_and_empty_split(cohort, tmp_path):
    with pytest.raises(DataError, match=r"gone\.dcm: no such file \(1 of the training files.*--dataset_dir"):
        datalist(spoil(cohort, tmp_path, lambda m: m["training"][0].update(image="gone.dcm")), cohort, "training")

    def no_box(manifest):
        for entry in manifest["validation"]:
            entry["boxes"] = []

    with pytest.raises(DataError, match="no entry of its validation list has a box"):
        datalist(spoil(cohort, tmp_path, no_box), cohort, "validation")
    with pytest.raises(DataError, match="its test list is empty"):
        datalist(spoil(cohort, tmp_path, lambda m: m.update(test=[])), cohort, "test")
