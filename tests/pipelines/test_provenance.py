"""What figures were made with: it is told, and an evaluation of other weights or data is not taken for this one's."""

from __future__ import annotations

import hashlib
import json
import re
import socket

import pytest
import torch

from pipelines import datalist
from pipelines.evaluation.metric_table import write_metrics
from pipelines.provenance import evaluated, is_of


@pytest.fixture
def files(cohort, tmp_path):
    """A manifest in a folder of its own, and a file of weights."""
    manifest, weights = tmp_path / "manifest.json", tmp_path / "model.pt"
    manifest.write_text((cohort / "manifest.json").read_text())
    weights.write_bytes(b"weights")
    return manifest, weights


def test_of_whom_with_what_and_when(files, cohort):
    manifest, weights = files
    told = evaluated(datalist(manifest, cohort, "test"), weights)
    assert told["weights"] == hashlib.sha256(b"weights").hexdigest()
    assert told["data"] == json.loads(manifest.read_text())["name"] and told["split"] == "test"
    assert told["versions"]["torch"] == torch.__version__ and re.fullmatch(r"\d{4}-\d\d-\d\d", told["date"])
    text = json.dumps(told)
    assert str(cohort) not in text and socket.gethostname() not in text


def test_what_is_not_known_is_said_to_be_so(tmp_path):
    told = evaluated([{"image": "a.dcm"}], tmp_path / "gone.pt")
    assert [told[name] for name in ("data", "split", "manifest", "weights")] == [None] * 4


def changed(manifest, change):
    content = json.loads(manifest.read_text())
    change(content)
    manifest.write_text(json.dumps(content))


def test_other_weights_data_or_splits_are_another_evaluation(files, cohort, tmp_path):
    manifest, weights = files
    write_metrics({"images": 1}, tmp_path / "test", evaluated(datalist(manifest, cohort, "test"), weights))
    assert is_of(tmp_path / "test", weights, manifest, "test")
    assert not is_of(tmp_path / "test", weights, manifest, "validation")

    # made again with another salt it says the same of the same images
    changed(manifest, lambda content: [e.update(patient_id=e["patient_id"] + "x") for e in content["test"]])
    assert is_of(tmp_path / "test", weights, manifest, "test")
    changed(manifest, lambda content: content["test"].pop())
    assert not is_of(tmp_path / "test", weights, manifest, "test")

    manifest.write_text((cohort / "manifest.json").read_text())
    assert is_of(tmp_path / "test", weights, manifest, "test")
    weights.write_bytes(b"others")
    assert not is_of(tmp_path / "test", weights, manifest, "test")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"evaluated": null}'])
def test_an_evaluation_that_does_not_tell_is_not_taken(files, tmp_path, text):
    manifest, weights = files
    assert not is_of(tmp_path, weights, manifest, "test")
    (tmp_path / "metrics.json").write_text(text)
    assert not is_of(tmp_path, weights, manifest, "test")
