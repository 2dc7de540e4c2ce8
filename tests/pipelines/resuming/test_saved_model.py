"""Weights and what is said of them."""

from __future__ import annotations

import json
import os

import pytest
import torch

from networks import WeightsError, load_weights, read_fitted
from pipelines.resuming.saved_model import add_to_model, write_model


@pytest.mark.parametrize("described", [True, False], ids=["with its hash", "as before there were hashes"])
@pytest.mark.parametrize("killed_at", [1, 2, 3, None])
def test_a_kill_at_any_moment_leaves_a_model_that_is_described(tmp_path, monkeypatch, killed_at, described):
    """A better model takes the place of one in three replacements: what is said is said of the one that is there."""
    path, about = tmp_path / "model.pt", tmp_path / "model.json"
    network = torch.nn.Linear(1, 1)
    write_model({"weight": torch.ones(1, 1), "bias": torch.ones(1)}, path, {"settings": {"image_size": 1}}, about)
    if not described:
        about.write_text(json.dumps({"settings": {"image_size": 1}}))
    replace, times = os.replace, iter(range(1, 9))

    def replace_or_die(source, target):
        if next(times) == killed_at:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_or_die)
    try:
        write_model({"weight": torch.zeros(1, 1), "bias": torch.zeros(1)}, path, {"settings": {"image_size": 2}}, about)
    except KeyboardInterrupt:
        assert killed_at
    size = 1 if killed_at in (1, 2) else 2
    load_weights(network, path, image_size=size)
    assert network.bias.item() == 2 - size
    with pytest.raises(WeightsError, match="was trained with image_size"):
        load_weights(network, path, image_size=3)
    assert os.listdir(tmp_path) in (["model.pt", "model.json"], ["model.json", "model.pt"])


def test_the_same_weights_make_the_same_file(tmp_path):
    """Whichever process writes them: a training that was killed and resumed ends with the file of one that was not."""
    for name in "ab":
        write_model({"weight": torch.ones(1, 1)}, tmp_path / name / "model.pt", {}, tmp_path / name / "model.json")
    one, other = ((tmp_path / name / "model.pt").read_bytes() for name in "ab")
    assert one == other and b"unfinished" not in one


def test_what_is_fitted_later_stays_with_its_weights_alone(tmp_path):
    """A new model, of whatever training, has none of it; nor has a file that was put in the place of the weights."""
    path, about = tmp_path / "model.pt", tmp_path / "model.json"
    write_model({"weight": torch.ones(1)}, path, {"epoch": 1}, about)
    sha256 = json.loads(about.read_text())["sha256"]
    add_to_model(path, sha256, {"temperature": 1.5, "quality": {"level": 0.9}})
    add_to_model(path, sha256, {"temperature": 1.25})
    assert json.loads(about.read_text()) == {
        "epoch": 1,
        "sha256": sha256,
        "temperature": 1.25,
        "quality": {"level": 0.9},
    }
    add_to_model(path, sha256, {"quality": None})
    assert read_fitted(path) == {"temperature": 1.25}
    write_model({"weight": torch.zeros(1)}, path, {"epoch": 2}, about)
    assert read_fitted(path) == {} and json.loads(about.read_text())["epoch"] == 2
    torch.save({"weight": torch.ones(2)}, path)
    with pytest.raises(WeightsError, match="is damaged, or not the file"):
        add_to_model(path, sha256, {"temperature": 1.0})


def test_what_is_not_finite_is_not_noted_and_the_file_stays(tmp_path):
    path = tmp_path / "model.pt"
    write_model({"weight": torch.ones(1, 1)}, path, {"settings": {}}, path.with_suffix(".json"))
    before = path.with_suffix(".json").read_text()
    with pytest.raises(ValueError, match="not JSON compliant"):
        add_to_model(path, json.loads(before)["sha256"], {"temperature": float("nan")})
    assert path.with_suffix(".json").read_text() == before
