"""A training's state: resuming changes nothing, and a kill loses nothing that was computed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import pandas as pd
import pytest
import torch

from networks import WeightsError, load_weights, read_checkpoint
from pipelines import datalist
from pipelines.training import log
from pipelines.training.state import write_model
from tests.running import Trained, bundle_of, refused, small

NAME = "pneumonia"
PLAN = "$@epochs * len(@train#dataloader)"


@pytest.fixture(scope="module")
def train(cohort, tmp_path_factory):
    """Trains the bundle on small phantoms into a folder; after an epoch, as if killed: the plan is still that of all.

    The curves take longer than the rest: they are drawn where asked for.
    """
    cache = tmp_path_factory.mktemp("cache")

    def run(folder, epochs, stop_after=None, curves=False, **settings):
        stopped = {"train#trainer#max_epochs": stop_after, "lr_scheduler#total_steps": PLAN} if stop_after else {}
        trained = Trained(NAME, cohort, folder, small(NAME))
        with pytest.MonkeyPatch.context() as patch:
            if not curves:
                patch.setattr(log, "draw_curves", lambda table, path: None)
            trained.train(epochs=epochs, cache_dir=cache, **stopped, **settings)

    return run


def same(a, b):
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def epochs_of(folder):
    """How many a training ran."""
    return pd.read_csv(folder / "eval" / "training.csv")["epoch"].max()


@pytest.mark.parametrize("overrides", [{}, {"accumulation_steps": 3}, {"num_workers": 1}], ids=str)
def test_epochs_are_bit_for_bit_some_epochs_and_a_resume(train, tmp_path, overrides):
    train(tmp_path / "whole", 3, **overrides)
    train(tmp_path / "parts", 3, stop_after=2, **overrides)
    train(tmp_path / "parts", 3, **overrides, resume=True)
    whole, parts = (read_checkpoint(tmp_path / name / "models" / "last_epoch.pt") for name in ("whole", "parts"))
    assert whole["epoch"] == parts["epoch"] == 3 and whole["iteration"] == parts["iteration"]
    assert same(whole["model"], parts["model"])
    for index, state in whole["optimizer"]["state"].items():
        assert same(state, parts["optimizer"]["state"][index])
    assert whole["lr_scheduler"] == parts["lr_scheduler"]
    assert (whole["best_metric"], whole["best_metric_epoch"]) == (parts["best_metric"], parts["best_metric_epoch"])
    best = [read_checkpoint(tmp_path / name / "models" / "model.pt") for name in ("whole", "parts")]
    assert same(*best)
    logs = [pd.read_csv(tmp_path / name / "eval" / "training.csv") for name in ("whole", "parts")]
    drop = ["seconds", "images_per_second"]
    pd.testing.assert_frame_equal(logs[0].drop(columns=drop), logs[1].drop(columns=drop))
    assert logs[0]["train_loss"].nunique() == 3  # it did train


def test_averaged_weights_are_what_is_validated_and_kept_and_a_resume_continues_them(train, tmp_path):
    handlers = bundle_of(NAME).read(["train"])["train#handlers"]
    assert handlers[-1]["_target_"] == "pipelines.TrainingState"
    average = {"_target_": "ignite.handlers.EMAHandler", "model": "@network", "momentum": 0.3}
    averaging = {
        "averaging": average | {"handle_buffers": "update"},
        "averaged": "$@averaging.ema_model",
        "validate#evaluator#network": "@averaged",
        "train#handlers": ["@averaging", *handlers[:-1], handlers[-1] | {"averaged": "@averaged"}],
    }
    train(tmp_path / "whole", 3, **averaging)
    train(tmp_path / "parts", 3, stop_after=2, **averaging)
    train(tmp_path / "parts", 3, **averaging, resume=True)
    whole, parts = (read_checkpoint(tmp_path / name / "models" / "last_epoch.pt") for name in ("whole", "parts"))
    assert same(whole["averaged"], parts["averaged"]) and same(whole["model"], parts["model"])
    assert not same(whole["averaged"], whole["model"])
    train(tmp_path / "one", 1, **averaging)
    best, last = (read_checkpoint(tmp_path / "one" / "models" / name) for name in ("model.pt", "last_epoch.pt"))
    assert same(best, last["averaged"]) and not same(best, last["model"])


def test_seed_changes_the_training_and_nothing_else_does(train, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(tmp_path / name, 1, seed=seed)
    a, b, c = (read_checkpoint(tmp_path / name / "models" / "last_epoch.pt")["model"] for name in "abc")
    assert same(a, b) and not same(a, c)


def test_best_model_is_the_epoch_of_the_best_validation(train, tmp_path):
    train(tmp_path, 4, curves=True)
    table = pd.read_csv(tmp_path / "eval" / "training.csv")
    about = pd.read_json(tmp_path / "models" / "model.json", typ="series")
    best = table["val_dice_pooled_over_all"]
    assert about["epoch"] == table["epoch"][best.idxmax()]
    assert about["val_dice_pooled_over_all"] == pytest.approx(best.max())
    assert about["trained_on"] == "phantoms"
    assert about["sha256"] == hashlib.sha256((tmp_path / "models" / "model.pt").read_bytes()).hexdigest()
    state = read_checkpoint(tmp_path / "models" / "last_epoch.pt")
    assert state["best_metric"] == pytest.approx(best.max())
    assert {"training.csv", "curves.png", "tensorboard"} <= set(os.listdir(tmp_path / "eval"))
    assert not [name for name in os.listdir(tmp_path / "models") if name.startswith(".")]


def test_new_training_sets_the_old_model_aside(train, tmp_path):
    train(tmp_path, 1)
    before = (tmp_path / "models" / "model.pt").read_bytes()
    train(tmp_path, 1, seed=5)
    assert (tmp_path / "models" / "model.previous.pt").read_bytes() == before
    assert (tmp_path / "models" / "model.pt").read_bytes() != before


def test_patience_stops_after_epochs_without_a_better_model(train, tmp_path):
    train(tmp_path, 9, patience=2, learning_rate=0.0)  # nothing is learnt, so the first is never bettered
    state = read_checkpoint(tmp_path / "models" / "last_epoch.pt")
    assert epochs_of(tmp_path) == state["epoch"] == state["best_metric_epoch"] + 2 < 9


def test_patience_does_not_run_out_before_the_first_validation(train, tmp_path):
    train(tmp_path, 4, patience=2, val_interval=4)
    assert epochs_of(tmp_path) == 4
    assert (tmp_path / "models" / "model.pt").is_file()


def test_training_longer_than_planned_learns_on_and_says_so(train, tmp_path, caplog):
    train(tmp_path, 1)
    before = read_checkpoint(tmp_path / "models" / "last_epoch.pt")["model"]
    train(tmp_path, 3, resume=True, learning_rate=0.004)
    assert not same(before, read_checkpoint(tmp_path / "models" / "last_epoch.pt")["model"])
    rates = pd.read_csv(tmp_path / "eval" / "training.csv")["learning_rate"]
    # epoch 3 begins after 8 of 12 steps of a cycle whose top, 0.004, comes after three tenths of them
    assert 0.0005 < rates[2] < 0.003
    assert "planned differently before the interruption" in caplog.text


def test_resume_without_a_checkpoint(train, tmp_path):
    with refused("last_epoch.pt: nothing to resume from"):
        train(tmp_path, 1, resume=True)


def test_resume_from_a_checkpoint_of_another_network(train, tmp_path):
    train(tmp_path / "other", 1, **{"network_def#network#channels": [4, 6]})
    shutil.copytree(tmp_path / "other" / "models", tmp_path / "mine" / "models")
    with refused("last_epoch.pt: the weights are those of another network"):
        train(tmp_path / "mine", 2, resume=True)


def test_resume_from_a_damaged_checkpoint(train, tmp_path):
    train(tmp_path, 1)
    last = tmp_path / "models" / "last_epoch.pt"
    last.write_bytes(last.read_bytes()[:1000])
    with refused("last_epoch.pt: cannot be loaded"):
        train(tmp_path, 2, resume=True)


def test_starting_weights_stay_until_an_epoch_is_better(train, cohort, tmp_path):
    """As MONAI Label trains: from model.pt, with a data list of its own, which names no manifest."""
    models = tmp_path / "models"
    train(tmp_path, 2)
    first = (models / "model.pt").read_bytes()
    loader = {
        "_target_": "CheckpointLoader",
        "load_path": str(models / "model.pt"),
        "load_dict": {"model": "$@network"},
    }
    handlers = bundle_of(NAME).read(["train"])["train#handlers"]
    entries = datalist(cohort / "manifest.json", cohort, "training")
    tuning = {"train#handlers": [loader, *handlers], "train#dataset#data": list(entries)}
    train(tmp_path, 1, learning_rate=1e-9, **tuning)  # too little to change what it predicts
    assert epochs_of(tmp_path) == 1 and (models / "model.pt").read_bytes() == first
    assert json.loads((models / "model.json").read_text())["trained_on"] == "phantoms"
    train(tmp_path, 6, learning_rate=0.02, **tuning)
    about = json.loads((models / "model.json").read_text())
    assert about["trained_on"] == f"phantoms, then {len(entries)} images without a manifest"
    assert (models / "model.previous.pt").read_bytes() == first
    about = json.loads((models / "model.previous.json").read_text())
    assert about["sha256"] == hashlib.sha256(first).hexdigest()
    torch.save({k: v + 1 for k, v in torch.load(models / "model.pt").items()}, models / "model.pt")
    with refused("model.pt: is damaged, or not the file that model.json describes"):
        train(tmp_path, 1, **tuning)


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


def test_a_resume_sets_aside_a_model_that_it_has_not_made(train, tmp_path):
    """The earlier training's best model, where this one was stopped before its first validation."""
    models = tmp_path / "models"
    train(tmp_path, 1)
    first = (models / "model.pt").read_bytes()
    train(tmp_path, 2, stop_after=1, val_interval=2)
    assert (models / "model.pt").read_bytes() == first
    train(tmp_path, 2, val_interval=2, resume=True)
    assert (models / "model.pt").read_bytes() != first and (models / "model.previous.pt").read_bytes() == first
