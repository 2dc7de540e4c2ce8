"""A training's state: resuming changes nothing, and a kill loses nothing that was computed."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from ignite.engine import Events

from networks import read_about, read_checkpoint
from pipelines import datalist
from pipelines.resuming.sample import sample_of
from pipelines.training import log
from tests.running import Trained, bundle_of, held_by_another, refused, small
from transforms import RandWarpd

pytestmark = pytest.mark.usefixtures("interrupts")

NAME = "pneumonia"
PLAN = "$@epochs * len(@train#dataloader)"


@pytest.fixture(scope="module")
def train(cohort, tmp_path_factory):
    """Trains the bundle on small phantoms into a folder; after an epoch, as if killed: the plan is still that of all.

    The curves take longer than the rest: they are drawn where asked for.
    """
    cache = tmp_path_factory.mktemp("cache")

    def run(folder, epochs, stop_after=None, curves=False, **settings):
        stopped = {"train#trainer#max_epochs": stop_after} if stop_after else {}
        trained = Trained(NAME, cohort, folder, small(NAME))
        with pytest.MonkeyPatch.context() as patch:
            if not curves:
                patch.setattr(log, "draw_curves", lambda table, path: None)
            places = {"cache_dir": cache, "lr_scheduler#total_steps": PLAN}
            trained.train(**{"epochs": epochs, **places, **stopped, **settings})

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


@dataclass
class Drawn:
    """Handler of a trainer: writes down what its augmentation drew in each step."""

    angles: list[tuple[int, list[float]]]

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.note)

    def note(self, engine):
        (warp,) = (part for part in engine.prepare_batch.transforms if isinstance(part, RandWarpd))
        self.angles.append((engine.state.iteration, warp.matrix.ravel().tolist()))


def test_each_step_augments_in_its_own_way_that_seed_and_step_alone_decide(train, tmp_path):
    """Whatever was drawn before, as in a resume, where the steps before are not repeated."""
    handlers = bundle_of(NAME).read(["train"])["train#handlers"]

    def angles(folder, **settings):
        drawn = Drawn([])
        train(tmp_path / folder, 3, **{"drawn": drawn, "train#handlers": ["@drawn", *handlers], **settings})
        return dict(drawn.angles)

    whole = angles("whole")
    assert len({tuple(matrix) for matrix in whole.values()}) == len(whole) > 3
    angles("parts", stop_after=2)
    resumed = angles("parts", resume=True)
    assert resumed and all(whole[step] == matrix for step, matrix in resumed.items())
    assert set(whole) - set(resumed) and angles("other", seed=1)[1] != whole[1]


def test_best_model_is_the_epoch_of_the_best_validation(train, tmp_path):
    train(tmp_path, 4, curves=True)
    table = pd.read_csv(tmp_path / "eval" / "training.csv")
    about = pd.read_json(tmp_path / "models" / "model.json", typ="series")
    best = table["val_dice_pooled_over_all"]
    assert about["epoch"] == table["epoch"][best.idxmax()]
    assert about["val_dice_pooled_over_all"] == pytest.approx(best.max())
    assert about["trained_on"] == "phantoms" and 0 < len(about["trained_images"]) <= 64
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
    train(tmp_path, 9, patience=2, learning_rate=1e-30)  # nothing is learnt, so the first is never bettered
    state = read_checkpoint(tmp_path / "models" / "last_epoch.pt")
    assert epochs_of(tmp_path) == state["epoch"] == state["best_metric_epoch"] + 2 < 9


def test_patience_does_not_run_out_before_the_first_validation(train, tmp_path):
    train(tmp_path, 4, patience=2, val_interval=4)
    assert epochs_of(tmp_path) == 4
    assert (tmp_path / "models" / "model.pt").is_file()


def test_training_longer_than_planned_learns_on_and_says_so(train, tmp_path, caplog):
    train(tmp_path, 1, learning_rate=0.004)
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


@pytest.fixture(scope="module")
def one_epoch(train, tmp_path_factory):
    """The folder of a training of one epoch. Do not write into it."""
    folder = tmp_path_factory.mktemp("one")
    train(folder, 1)
    return folder


@pytest.fixture
def started(one_epoch, tmp_path):
    """A copy of it."""
    return shutil.copytree(one_epoch, tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"image_size": 64}, ["image_size: 32 -> 64"]),
        ({"seed": 5}, ["seed: 0 -> 5"]),
        ({"loss#_target_": "DiceCELoss"}, ["loss#_target_: DiceFocalLoss -> DiceCELoss"]),
        (
            {"batch_size": 2, "learning_rate": 0.5, "optimizer#weight_decay": 0.5},
            ["batch_size: 8 -> 2", "learning_rate: 0.002 -> 0.5", "optimizer#weight_decay: 0.01 -> 0.5"],
        ),
        ({"network_def#network#channels": [4, 6]}, ["network_def#network#channels: [4, 8] -> [4, 6]"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_resume_with_other_settings_is_refused_and_names_them(train, started, change, told):
    before = {path.name: path.read_bytes() for path in (started / "models").iterdir()}
    with refused("last_epoch.pt: is the state of a training with other settings or data") as caught:
        train(started, 2, resume=True, **change)
    lines = caught.text.splitlines()
    assert sorted(lines[1:-1]) == sorted(f"  {line}" for line in told) and "--resume force" in lines[-1]
    assert {path.name: path.read_bytes() for path in (started / "models").iterdir()} == before


def test_a_resume_with_other_data_is_refused(train, cohort, started, tmp_path):
    manifest = json.loads((cohort / "manifest.json").read_text())
    number = len(manifest["training"])
    manifest["training"] = manifest["training"][2:]
    (tmp_path / "other.json").write_text(json.dumps(manifest))
    with refused(f"training images: {number} -> {number - 2}, 0 of them new or changed, 2 gone") as caught:
        train(started, 2, resume=True, manifest=tmp_path / "other.json")
    assert "validation" not in caught.text
    moved = shutil.copytree(cohort, tmp_path / "moved")  # the same images
    train(started, 2, resume=True, dataset_dir=moved, manifest=moved / "manifest.json")
    assert epochs_of(started) == 2


def test_a_forced_resume_goes_on_with_what_is_configured(train, started, caplog):
    train(started, 3, resume="force", batch_size=2, seed=5, **{"optimizer#weight_decay": 0.5})
    assert "as forced (before -> now):\n  seed: 0 -> 5" in caplog.text and "batch_size: 8 -> 2" in caplog.text
    state = read_checkpoint(started / "models" / "last_epoch.pt")
    assert epochs_of(started) == state["epoch"] == 3
    assert state["optimizer"]["param_groups"][0]["weight_decay"] == 0.5 and state["depends_on"]["batch_size"] == 2
    assert state["lr_scheduler"]["last_epoch"] == state["iteration"] == state["lr_scheduler"]["total_steps"]
    train(started, 4, resume=True, batch_size=2, seed=5, **{"optimizer#weight_decay": 0.5})  # no force is needed now


def test_a_forced_resume_with_another_optimiser_begins_its_moments_anew(train, started):
    train(started, 2, resume="force", **{"optimizer#_target_": "torch.optim.SGD", "optimizer#momentum": 0.9})
    state = read_checkpoint(started / "models" / "last_epoch.pt")["optimizer"]
    assert state["param_groups"][0]["nesterov"] is False and "momentum_buffer" in state["state"][0]


def test_a_forced_resume_still_needs_the_same_network_and_a_schedule(train, started):
    with refused("last_epoch.pt: the weights are those of another network"):
        train(started, 2, resume="force", **{"network_def#network#channels": [4, 6]})
    path = started / "models" / "last_epoch.pt"
    state = read_checkpoint(path)
    del state["lr_scheduler"]
    torch.save(state, path)
    with refused("last_epoch.pt: the optimiser or the schedule is another than the configured one ('lr_scheduler')"):
        train(started, 2, resume=True)


@pytest.mark.parametrize("value", ["yes", "true", 2])
def test_a_resume_is_true_false_force_or_auto(train, tmp_path, value):
    with refused(f"resume is {value!r}; give --resume True, False, force or auto"):
        train(tmp_path, 1, resume=value)


def test_a_state_of_an_earlier_version_is_resumed_with_a_warning(train, started, caplog):
    path = started / "models" / "last_epoch.pt"
    state = read_checkpoint(path)
    del state["depends_on"]
    torch.save(state, path)
    train(started, 2, resume=True)
    assert "does not say what it depends on" in caplog.text and epochs_of(started) == 2


def test_a_model_is_no_state_of_a_training(train, started):
    shutil.copy(started / "models" / "model.pt", started / "models" / "last_epoch.pt")
    with refused("last_epoch.pt: is not the state of a training: it lacks epoch, "):
        train(started, 2, resume=True)


def test_resume_from_a_damaged_checkpoint(train, tmp_path):
    train(tmp_path, 1)
    last = tmp_path / "models" / "last_epoch.pt"
    last.write_bytes(last.read_bytes()[:1000])
    with refused("last_epoch.pt: cannot be loaded"):
        train(tmp_path, 2, resume=True)


def test_a_new_training_sets_the_old_state_aside_before_its_first_epoch(train, started):
    """So that a resume cannot go on with the state of another training, where the new one was killed early."""
    models = started / "models"
    before = {path.name: path.read_bytes() for path in models.iterdir()}
    with pytest.raises(SystemExit):
        train(started, 2, seed=5, **{"train#handlers": signalled(signal.SIGTERM, 1)})
    after = {path.name: path.read_bytes() for path in models.iterdir()}
    assert after.pop("last_epoch.previous.pt") == before.pop("last_epoch.pt") and after == before
    with refused("nothing to resume from. Leave out --resume to start a new training. last_epoch.previous.pt is that"):
        train(started, 2, resume=True)


def test_a_missing_model_is_told_and_can_be_forced(train, started):
    model = started / "models" / "model.pt"
    model.unlink()
    with refused("model.pt: is missing, the model of epoch 1 of this training. Put it back, or continue without it by"):
        train(started, 1, resume=True)
    with refused("model.pt: is missing, and nothing is left to train: all of its 1 epochs are done"):
        train(started, 1, resume="force")
    train(started, 2, resume="force")
    assert model.is_file() and json.loads(model.with_suffix(".json").read_text())["epoch"] == 2


def test_nothing_is_left_to_train(train, started, caplog):
    before = (started / "models" / "model.pt").read_bytes()
    train(started, 1, resume=True)
    assert "nothing is left to train: all of its 1 epochs are done" in caplog.text
    assert (started / "models" / "model.pt").read_bytes() == before


def test_another_training_in_the_folder_is_told_of_this_one(train, started):
    models = started / "models"
    before = {path.name: path.read_bytes() for path in models.iterdir()}
    with held_by_another(models) as process, refused(f"another run is writing there: process {process} on "):
        train(started, 2)
    (models / ".lock").unlink()
    assert {path.name: path.read_bytes() for path in models.iterdir()} == before


@dataclass
class Signal:
    """Handler of a trainer: sends the process a signal before an iteration, and looks whether the folder is held."""

    number: int
    iteration: int

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_STARTED(once=self.iteration), self.send)

    def send(self, engine):
        signal.raise_signal(self.number)


def signalled(number, iteration):
    handler = {"_target_": f"{__name__}.Signal", "number": int(number), "iteration": iteration}
    return [handler, *bundle_of(NAME).read(["train"])["train#handlers"]]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_training_and_a_resume_makes_up_for_it(train, tmp_path, number, code, caplog, capfd):
    train(tmp_path / "whole", 3)
    parts, whole = tmp_path / "parts" / "models", tmp_path / "whole" / "models"
    steps = read_checkpoint(whole / "last_epoch.pt")["iteration"] // 3
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as caught:
        train(tmp_path / "parts", 3, **{"train#handlers": signalled(number, steps + 2)})
    assert caught.value.code == code and signal.getsignal(number) is before
    assert "Traceback" not in caplog.text and "terminating due to exception" not in caplog.text
    assert capfd.readouterr().err.count(f"{number.name}: stopping at the next step") == 1
    assert sorted(os.listdir(parts)) == ["last_epoch.pt", "model.json", "model.pt"]
    state = read_checkpoint(parts / "last_epoch.pt")
    assert state["epoch"] == 1 and state["iteration"] == steps
    train(tmp_path / "parts", 3, resume=True)
    assert same(*(read_checkpoint(models / "last_epoch.pt")["model"] for models in (whole, parts)))


def test_a_signal_while_validating_ends_the_training_too(train, tmp_path, caplog):
    keys = {"validate#handlers": [{"_target_": f"{__name__}.Signal", "number": 15, "iteration": 1}]}
    with pytest.raises(SystemExit):
        train(tmp_path, 1, **keys)
    assert "Traceback" not in caplog.text and os.listdir(tmp_path / "models") == []


@dataclass
class Break:
    """Handler of a trainer: after an epoch, before it is saved, something happens to the disk."""

    what: str
    folder: str

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_COMPLETED(once=2), self.happen)

    def happen(self, engine):
        models = Path(self.folder)
        if self.what == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        elif self.what == "read-only":
            models.chmod(0o555)
        elif self.what == "removed":
            shutil.rmtree(models)
        elif self.what == "model removed":
            (models / "model.pt").unlink()


@pytest.fixture
def whole_disk(started):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (started / "models").chmod(0o755)


@pytest.mark.parametrize("what", ["full", "read-only", "removed", "model removed"])
def test_what_happens_to_the_disk_is_told_in_one_message_and_nothing_is_lost(train, started, whole_disk, what):
    if what == "read-only" and os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    models = started / "models"
    before = {path.name: path.read_bytes() for path in models.iterdir()}
    broken = {"_target_": f"{__name__}.Break", "what": what, "folder": str(models)}
    handlers = [broken, *bundle_of(NAME).read(["train"])["train#handlers"][1:]]  # without validation: no better model
    message = "cannot be written" if what in ("full", "read-only") else "model.pt: was removed while the training ran"
    with refused(message):
        train(started, 3, resume=True, **{"train#handlers": handlers})
    after = {path.name: path.read_bytes() for path in models.iterdir()}
    if what in ("full", "read-only"):
        assert {name: content for name, content in after.items() if name != ".lock"} == before
    else:
        assert read_checkpoint(models / "last_epoch.pt")["epoch"] == 2


@dataclass
class Killed:
    """Handler of a trainer, before the one that saves: forks, and each child is killed at a later call of the system.

    What a kill leaves is looked at, and put right for the next child. The process itself then goes on.
    """

    folder: str
    event: Any
    look: Any

    def attach(self, engine):
        engine.add_event_handler(self.event, self.fork)

    def fork(self, engine):
        folder = Path(self.folder)
        kept = shutil.copytree(folder, folder.with_name("kept"))
        for number in range(100):
            process = os.fork()
            if process == 0:
                kill_at(number)
                engine.add_event_handler(self.event, lambda: os._exit(0))  # behind the handler that saves
                return
            killed = os.WIFSIGNALED(os.waitpid(process, 0)[1])
            self.look(folder, number)
            shutil.rmtree(folder)
            shutil.copytree(kept, folder)
            if not killed:
                assert number > 1
                return
        pytest.fail("a child never came to its end")


def kill_at(number):
    """Kill this process before the call of that number that changes a name in a folder."""
    calls = count()

    def killing(call):
        def before(*arguments, **options):
            if next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return before

    for name in ("replace", "link", "unlink"):
        setattr(os, name, killing(getattr(os, name)))


@pytest.mark.parametrize("event", [Events.STARTED, Events.EPOCH_COMPLETED])
def test_a_kill_at_any_moment_of_a_new_training_leaves_a_model_and_loses_none(train, started, tmp_path, event):
    models, seen = started / "models", []
    old = {path.name: path.read_bytes() for path in models.iterdir()}

    def look(folder, number):
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        read_checkpoint(folder / "model.pt")
        sha256 = hashlib.sha256(files["model.pt"]).hexdigest()
        assert read_about(folder / "model.pt", sha256)["sha256"] == sha256  # it is this very model that is described
        is_old = files["model.pt"] == old["model.pt"]
        assert is_old or files["model.previous.pt"] == old["model.pt"]
        assert "last_epoch.pt" in files or files["last_epoch.previous.pt"] == old["last_epoch.pt"]
        seen.append(is_old)

    handlers = bundle_of(NAME).read(["train"])["train#handlers"]
    killed = Killed(str(models), event, look)
    train(started, 1, seed=5, **{"killed": killed, "train#handlers": [*handlers[:-1], "@killed", handlers[-1]]})
    assert len(seen) >= 3 and (event is Events.STARTED) == all(seen)
    assert (models / "model.previous.pt").read_bytes() == old["model.pt"]


def test_damaged_files_of_an_earlier_training_keep_nobody_from_a_new_one(train, started):
    for name in ("model.pt", "model.json", "last_epoch.pt"):
        path = started / "models" / name
        path.write_bytes(path.read_bytes()[:50])
    train(started, 1)
    assert json.loads((started / "models" / "model.json").read_text())["epoch"] == 1
    assert len(list((started / "models").glob("*.previous.*"))) == 3


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
    started_with = json.loads((models / "model.json").read_text())
    assert started_with["trained_on"] == "phantoms"
    train(tmp_path, 12, learning_rate=0.02, **tuning)
    about = json.loads((models / "model.json").read_text())
    assert about["trained_on"] == f"phantoms, then {len(entries)} images without a manifest"
    assert about["trained_images"] == started_with["trained_images"] == sample_of(e["image"] for e in entries)
    assert (models / "model.previous.pt").read_bytes() == first
    about = json.loads((models / "model.previous.json").read_text())
    assert about["sha256"] == hashlib.sha256(first).hexdigest()
    torch.save({k: v + 1 for k, v in torch.load(models / "model.pt").items()}, models / "model.pt")
    with refused("model.pt: is damaged, or not the file that model.json describes"):
        train(tmp_path, 1, **tuning)


def test_a_resume_sets_aside_a_model_that_it_has_not_made(train, tmp_path):
    """The earlier training's best model, where this one was stopped before its first validation."""
    models = tmp_path / "models"
    train(tmp_path, 1)
    first = (models / "model.pt").read_bytes()
    train(tmp_path, 2, stop_after=1, val_interval=2)
    assert (models / "model.pt").read_bytes() == first
    train(tmp_path, 2, val_interval=2, resume=True)
    assert (models / "model.pt").read_bytes() != first and (models / "model.previous.pt").read_bytes() == first
