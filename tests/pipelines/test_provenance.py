"""What figures were made with: it is told, and an evaluation of other weights or data is not taken for this one's."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket

import pytest
import torch

from pipelines import datalist
from pipelines.evaluation.metric_table import write_metrics
from pipelines.manifests.manifest import images_of
from pipelines.provenance import (
    configured_as,
    evaluated,
    is_of,
    learnt_from,
    shown_command,
    shown_settings,
    surroundings_of,
    weights_hash,
)
from pipelines.resuming.sample import sample_of
from tests.running import bundle_of


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


def test_an_ensemble_s_hash_is_of_all_its_files_in_their_order(tmp_path):
    files = [tmp_path / name for name in ("a.pt", "b.pt")]
    for file in files:
        file.write_bytes(file.name.encode())
    told = {weights_hash(order) for order in (files, files[::-1], files[:1])}
    assert len(told) == 3 and None not in told
    assert weights_hash([*files, tmp_path / "gone.pt"]) is None


def changed(manifest, change):
    content = json.loads(manifest.read_text())
    change(content)
    manifest.write_text(json.dumps(content))


def evaluation(files, data, **changes):
    """The configuration of an evaluation by the bundle of pneumonia."""
    manifest, weights = files
    given = {"manifest": str(manifest), "dataset_dir": str(data), "weights": str(weights), **changes}
    return bundle_of("pneumonia").read(["train", "evaluate"], **given)


@pytest.fixture
def done(files, cohort, tmp_path):
    """The folder of an evaluation of the test split."""
    data = datalist(files[0], cohort, "test")
    told = evaluated(data, files[1], configured=configured_as(evaluation(files, cohort)))
    write_metrics({"images": 1}, tmp_path / "test", told)
    return tmp_path / "test"


def test_other_weights_data_or_splits_are_another_evaluation(files, cohort, done):
    manifest, weights = files
    parser = evaluation(files, cohort)
    assert is_of(done, parser)
    assert not is_of(done, evaluation(files, cohort, split="validation"))

    # made again with another salt it says the same of the same images
    changed(manifest, lambda content: [e.update(patient_id=e["patient_id"] + "x") for e in content["test"]])
    assert is_of(done, parser)
    changed(manifest, lambda content: content["test"].pop())
    assert not is_of(done, parser)

    manifest.write_text((cohort / "manifest.json").read_text())
    assert is_of(done, parser)
    weights.write_bytes(b"others")
    assert not is_of(done, parser)


CHANGES = {"threshold": 0.4, "image_size": 64, "reader#unknown_spacing": "pixels", "box_confidence": 0.9}


@pytest.mark.parametrize("key", CHANGES)
def test_an_evaluation_with_other_settings_is_another(files, cohort, done, key):
    assert not is_of(done, evaluation(files, cohort, **{key: CHANGES[key]}))


def test_where_things_are_and_what_computes_them_is_no_other_evaluation(files, cohort, done, tmp_path):
    places = {"output_dir": "elsewhere", "ckpt_dir": "there", "num_workers": 7, "device": "cpu", "force_weights": True}
    assert is_of(done, evaluation(files, cohort, **places))


def test_other_files_by_the_same_names_are_another_evaluation(files, cohort, done, tmp_path):
    shutil.copytree(cohort, tmp_path / "copy")
    assert is_of(done, evaluation(files, tmp_path / "copy"))
    image = tmp_path / "copy" / json.loads(files[0].read_text())["test"][0]["image"]
    image.write_bytes(image.read_bytes() + b"more")
    assert not is_of(done, evaluation(files, tmp_path / "copy"))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"evaluated": null}'])
def test_an_evaluation_that_does_not_tell_is_not_taken(files, cohort, tmp_path, text):
    parser = evaluation(files, cohort)
    assert not is_of(tmp_path, parser)
    (tmp_path / "metrics.json").write_text(text)
    assert not is_of(tmp_path, parser)


def test_a_command_is_shown_without_names_of_files():
    given = {"folds": 2, "overlays": ["a", "b"], "evaluation": (), "reader#unknown_spacing": "pixels"}
    given |= {"trained": "out_smith_john", "cache_dir": "smith", "weights": "smith.pt", "epochs": None}
    overrides = {"loss#batch": True, "optimizer#_target_": "torch.optim.Adam", "lungs_weights": "smith.pt"}
    given["overrides"] = {**overrides, "cache_dir": "smith", "network_def#channels": [4, 8]}
    assert shown_command("crossvalidate", "lungs", given) == (
        "python -m pipelines crossvalidate lungs --dataset_dir DATA --manifest manifest.json --folds 2 --overlays a b "
        "--unknown_spacing pixels --trained OTHER --override loss#batch True --override optimizer#_target_ "
        "torch.optim.Adam --override lungs_weights VALUE --override network_def#channels '[4, 8]'"
    )
    assert "smith" not in json.dumps(shown_settings(given)) and shown_settings(given)["trained"] is True


def test_several_evaluations_tell_each_machine_once_and_the_last_date(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder, machine, torch_version, day in zip(folders, ("x", "y", "x"), ("1", "1", "2"), (3, 5, 4), strict=True):
        told = {"versions": {"torch": torch_version}, "machine": machine, "date": f"2026-01-0{day}"}
        write_metrics({"images": 1}, folder, told)
    assert surroundings_of(folders) == {
        "versions": {"torch": "1 and 2"},
        "machine": "x and y",
        "date": "2026-01-05",
    }


def test_entries_that_count_no_more_make_another_evaluation(files, cohort, done):
    """One by an earlier version, which counted all, holds figures of what is left out by now."""
    manifest, _ = files
    changed(manifest, lambda content: content["test"][0].update(behind_heart=True))
    parser, path = evaluation(files, cohort), done / "metrics.json"
    told = evaluated(datalist(manifest, cohort, "test"), files[1], configured=configured_as(parser))
    write_metrics({"images": 1}, done, told)
    assert not is_of(done, parser)
    path.write_text(json.dumps({"evaluated": told | {"left_out": 1}}))
    assert is_of(done, parser)


def test_images_that_were_learnt_from_are_known_whatever_the_manifest_is_called(files, cohort, tmp_path):
    """By a sample of the training: all of the manifest's, none of it measured in its test, and all in its training."""
    content = json.loads(files[0].read_text()) | {"name": "another"}
    sample = sample_of(images_of(content["training"], cohort))
    found = {"sample": len(sample), "in_manifest": len(sample)}
    assert learnt_from(sample, content, cohort, "test") == found | {"measured": 0}
    assert learnt_from(sample, content, cohort, "training") == found | {"measured": len(sample)}
    other = content | {"training": []}
    assert learnt_from(sample, other, cohort, "test") == {"sample": len(sample), "in_manifest": 0, "measured": 0}
    assert learnt_from([], content, cohort, "test") is None is learnt_from(None, content, cohort, "test")
    assert learnt_from(sample, content, tmp_path, "test") is None  # files that are not here cannot be compared
