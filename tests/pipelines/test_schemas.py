"""The schemas against what evaluations write: the files of all bundles pass in test_bundle_runs, broken ones fail."""

from __future__ import annotations

import json

import numpy as np
import pytest
from jsonschema import Draft7Validator

from pipelines.evaluation.metric_table import write_metrics
from pipelines.provenance import evaluated
from pipelines.schemas import FOLDER, fault_of, read_described
from transforms import DataError

KINDS = sorted(path.name.removesuffix(".schema.json") for path in FOLDER.glob("*.schema.json"))


@pytest.fixture
def metrics(tmp_path):
    """A ``metrics.json``, and what it holds."""
    found = {"images": 3, "positives": 2, "dice_by_image_over_positives": 0.5, "image_roc_auc_over_all": np.nan}
    write_metrics(found, tmp_path, evaluated([], None))
    return tmp_path / "metrics.json", json.loads((tmp_path / "metrics.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_schemas_and_bear_the_name_that_files_give(kind):
    schema = json.loads((FOLDER / f"{kind}.schema.json").read_text())
    Draft7Validator.check_schema(schema)
    assert schema["$id"] == schema["properties"]["$schema"]["const"] == f"urn:radbundles:{kind}:1"


def test_what_an_evaluation_writes_is_as_described(metrics):
    path, content = metrics
    assert read_described(path, "metrics", "") == content and content["image_roc_auc_over_all"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dice_by_image_over_positives": 1.2}, r"metrics\.dice_by_image_over_positives"),
        ({"average_surface_distance_in_mm_by_image": -1}, r"metrics\.average_surface_distance_in_mm_by_image"),
        ({"images": 2.5}, r"metrics\.images: 2\.5 is not of type 'integer'"),
        ({"something_else": "much"}, r"metrics\.something_else: 'much' is not of type"),
        ({"evaluated": {}}, r"metrics\.evaluated: .* is a required property"),
        ({"$schema": "urn:radbundles:metrics:2"}, r"metrics\.\$schema: 'urn:radbundles:metrics:1' was expected"),
    ],
)
def test_a_broken_file_is_refused_with_the_place_and_the_fix(metrics, change, message):
    path, content = metrics
    path.write_text(json.dumps(content | change))
    with pytest.raises(DataError, match=rf"metrics\.json: is not as .* at {message}.*\. Evaluate again\."):
        read_described(path, "metrics", "Evaluate again.")


def test_neither_counts_nor_a_file_nor_json(metrics, tmp_path):
    path, content = metrics
    path.write_text(json.dumps({name: value for name, value in content.items() if name != "positives"}))
    with pytest.raises(DataError, match="at metrics: .* is not valid under any of the given schemas"):
        read_described(path, "metrics", "")
    path.write_text("{")
    with pytest.raises(DataError, match=r"metrics\.json: is not JSON"):
        read_described(path, "metrics", "")
    with pytest.raises(DataError, match=r"gone\.json: no such file\. Evaluate\."):
        read_described(tmp_path / "gone.json", "metrics", "Evaluate.")


def test_the_place_of_a_fault_is_named_down_to_the_item():
    schema = {"properties": {"a": {"items": {"properties": {"b": {"type": "string"}}}}}}
    assert fault_of({"a": [{}, {"b": 5}]}, schema) == ".a[1].b: 5 is not of type 'string'"
    assert fault_of({"a": []}, schema) is None
