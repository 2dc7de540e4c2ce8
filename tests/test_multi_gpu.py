"""Training by two processes, over gloo on the CPU: what it computes is what one process computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from monai.bundle import ConfigParser
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from networks import load_weights, read_checkpoint
from pipelines import draw_ct_phantoms, draw_phantoms

from .conftest import ROOT

UNSHUFFLED = {"train#sampler#shuffle": False}
NO_AUGMENTATION = {
    "train#random_transforms": [{"_target_": "EnsureTyped", "keys": ["image", "label"], "dtype": "$torch.float32"}]
}
UNET = {"network_def#network#channels": [4, 8], "network_def#network#strides": [2], "image_size": 32}
NO_BATCH_STATISTICS = {"network_def#network#norm": "INSTANCE"}  # batch norm is synchronised on GPUs alone
RADIOGRAPHS = {**UNET, **NO_BATCH_STATISTICS, "epochs": 2}
# Abdomen's network and loss as they are: batch norm and Dice over each process's batch are those of accumulated batches
CT = {"image_size": 64, "epochs": 1}
TWO = {
    "pneumonia": {**RADIOGRAPHS, "batch_size": 2},
    "lungs": {**RADIOGRAPHS, "batch_size": 2},
    "opacity": {**RADIOGRAPHS, "batch_size": 2},
    "abdomen": {**CT, "batch_size": 1, "accumulation_steps": 2},
}
ONE = {
    "pneumonia": {**RADIOGRAPHS, "batch_size": 4},
    "lungs": {**RADIOGRAPHS, "batch_size": 4},
    "opacity": {**RADIOGRAPHS, "batch_size": 4},
    "abdomen": {**CT, "batch_size": 1, "accumulation_steps": 4},
}
BUNDLES = sorted(TWO)


def cohort_of(bundle: str, folder: Path) -> dict[str, str]:
    """A cohort with an even number of training images and an odd one of validation images, or slices."""
    if bundle == "abdomen":
        draw_ct_phantoms(folder, patients=6, size=48, seed=3)
        manifest = json.loads((folder / "manifest.json").read_text())
        series = {entry["image"][-5:]: entry for entry in manifest["training"]}
        return data(folder, manifest | {"training": [series["20010"]], "validation": [series["20040"]]})
    draw_phantoms(folder, patients=23, size=64, seed=3, truth="boxes" if bundle == "pneumonia" else bundle)
    return data(folder, json.loads((folder / "manifest.json").read_text()))


def data(folder: Path, manifest: dict, name: str = "changed.json") -> dict[str, str]:
    (folder / name).write_text(json.dumps(manifest))
    return {"dataset_dir": str(folder), "manifest": str(folder / name)}


def folders(out: Path) -> dict[str, str]:
    return {"ckpt_dir": str(out / "models"), "output_dir": str(out / "eval"), "cache_dir": str(out / "cache")}


def files(bundle: str, *names: str) -> list[str]:
    return [f"bundles/{bundle}/configs/{name}.json" for name in names]


def torchrun(*arguments: str, ok: bool = True) -> subprocess.CompletedProcess:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc_per_node=2"]
    result = subprocess.run(
        [sys.executable, *launcher, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    if ok:
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result


def command(bundle: str, settings: dict, **options) -> subprocess.CompletedProcess:
    """The README's."""
    arguments = [str(part) for name, value in settings.items() for part in (f"--{name}", value)]
    config = str(files(bundle, "train", "multi_gpu_train"))
    return torchrun("-m", "monai.bundle", "run", "training", "--config_file", config, *arguments, **options)


def in_this_process(bundle: str, settings: dict) -> ConfigParser:
    """The configuration for one process, ready to run."""
    parser = ConfigParser()
    parser.read_config([str(ROOT / name) for name in files(bundle, "train")])
    parser.update({"bundle_root": str(ROOT / "bundles" / bundle), "precision": "float32", **settings})
    parser.parse(True)
    for index in range(len(parser["initialize"])):
        parser.get_parsed_content(f"initialize#{index}")
    return parser


def losses(out: Path) -> list[float]:
    """Of each step, in order."""
    events = EventAccumulator(str(out / "eval" / "tensorboard")).Reload()
    return [event.value for event in events.Scalars("train_loss")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a training by two processes of each bundle, and of ``lungs`` one that is interrupted.

    But for ``pneumonia``, trained by the README's command with phantoms that it draws itself, all run in two processes
    that start once.
    """
    root = tmp_path_factory.mktemp("two")
    runs = []
    for bundle in BUNDLES:
        settings = {**TWO[bundle], **NO_AUGMENTATION, **UNSHUFFLED, **folders(root / bundle), "precision": "float32"}
        if bundle == "pneumonia":
            drawn = {"phantoms#folder": root / bundle / "cohort", "phantoms#patients": 23, "phantoms#size": 64}
            result = command(bundle, {**settings, **drawn, "phantoms#seed": 3})
            (root / "log").write_text(result.stdout)
        else:
            settings |= cohort_of(bundle, root / bundle / "cohort")
            runs.append({"config_file": files(bundle, "train", "multi_gpu_train"), **settings})
    # batch norm and augmentation as they are; every image is the same
    cohort = root / "lungs" / "cohort"
    manifest = json.loads((cohort / "manifest.json").read_text())
    manifest["training"] = manifest["training"][:1] * 8
    usual = {**UNET, **data(cohort, manifest, "one.json"), "precision": "float32", "epochs": 2, "batch_size": 1}
    usual["config_file"] = files("lungs", "train", "multi_gpu_train")
    parts = {**usual, **folders(root / "parts")}
    runs += [
        {**usual, **folders(root / "whole")},
        {**parts, "train#trainer#max_epochs": 1},
        {**parts, "resume": True},
        {**usual, **folders(root / "patient"), "learning_rate": 0.0, "patience": 1, "epochs": 9},
        {**usual, **folders(root / "patient"), "epochs": 1},
    ]
    (root / "runs.json").write_text(json.dumps(runs))
    torchrun("tests/several_trainings.py", root / "runs.json")
    return root


@pytest.mark.parametrize("bundle", BUNDLES)
def test_losses_and_rates_are_those_of_one_process_with_the_global_batch(bundle, trained, tmp_path):
    name = "manifest.json" if bundle == "pneumonia" else "changed.json"
    cohort = {"dataset_dir": str(trained / bundle / "cohort"), "manifest": str(trained / bundle / "cohort" / name)}
    settings = {**ONE[bundle], **NO_AUGMENTATION, **folders(tmp_path), "train#dataloader#shuffle": False}
    in_this_process(bundle, {**settings, **cohort}).get_parsed_content("train#trainer").run()
    one, two = losses(tmp_path), losses(trained / bundle)
    if len(one) == 2 * len(two):  # accumulated: a step of one process has the batch of one of two
        one = [(first + second) / 2 for first, second in zip(one[::2], one[1::2])]
    assert len(two) >= 8 and len(set(two)) == len(two)
    assert two == pytest.approx(one, abs=1e-5)
    logs = [pd.read_csv(out / "eval" / "training.csv") for out in (tmp_path, trained / bundle)]
    for column in ("epoch", "learning_rate"):
        assert logs[1][column].tolist() == pytest.approx(logs[0][column].tolist())
    assert logs[1]["train_loss"].tolist() == pytest.approx(logs[0]["train_loss"].tolist(), abs=1e-5)


@pytest.mark.parametrize("run", [*BUNDLES, "whole"])
def test_validation_is_that_of_one_process_with_the_same_weights(run, trained, tmp_path):
    """No image counts twice, though the processes have unlike numbers of them; ``whole`` has batch norm."""
    bundle = "lungs" if run == "whole" else run
    name = "manifest.json" if bundle == "pneumonia" else "changed.json"
    cohort = {"dataset_dir": str(trained / bundle / "cohort"), "manifest": str(trained / bundle / "cohort" / name)}
    settings = {**TWO[bundle], **(UNET | {"network_def#network#norm": "BATCH"} if run == "whole" else {})}
    settings |= {} if run == "whole" else NO_AUGMENTATION
    parser = in_this_process(bundle, {**settings, **cohort, **folders(tmp_path)})
    evaluator = parser.get_parsed_content("validate#evaluator")
    assert len(evaluator.data_loader.dataset) % 2 == 1
    load_weights(evaluator.network, trained / run / "models" / "model.pt")  # plain names: it was made by no wrapper
    evaluator.run()
    about = json.loads((trained / run / "models" / "model.json").read_text())
    log = pd.read_csv(trained / run / "eval" / "training.csv").set_index("epoch").loc[about["epoch"]]
    assert len(evaluator.state.metrics) >= 2
    for metric, value in evaluator.state.metrics.items():
        assert log[metric] == pytest.approx(value, abs=1e-6), metric


@pytest.mark.parametrize("run", [*BUNDLES, "whole"])
def test_one_process_alone_writes(run, trained):
    assert sorted(os.listdir(trained / run / "models")) == ["last_epoch.pt", "model.json", "model.pt"]
    assert sorted(os.listdir(trained / run / "eval")) == ["curves.png", "tensorboard", "training.csv"]
    writers = {name.split(".")[-2] for name in os.listdir(trained / run / "eval" / "tensorboard")}  # their processes
    assert len(writers) == 1
    assert not [path for path in trained.rglob("*") if path.name.startswith((".", "tmp"))]  # what was not finished


def test_phantoms_are_drawn_once_and_one_process_alone_logs(trained):
    log = (trained / "log").read_text()
    assert log.count("These are PHANTOMS") == log.count("Epoch[1] Metrics") == 1
    assert len(list((trained / "pneumonia" / "cache").iterdir())) == 16 + 3


def test_resumed_training_is_the_uninterrupted_one(trained):
    whole, parts = (read_checkpoint(trained / run / "models" / "last_epoch.pt") for run in ("whole", "parts"))
    assert whole["epoch"] == parts["epoch"] == 2
    for part in ("network", "averaged"):
        assert all(torch.equal(value, parts[part][name]) for name, value in whole[part].items())
    logs = [pd.read_csv(trained / run / "eval" / "training.csv") for run in ("whole", "parts")]
    drop = ["seconds", "images_per_second"]
    pd.testing.assert_frame_equal(logs[0].drop(columns=drop), logs[1].drop(columns=drop))


def test_processes_augment_each_in_its_own_way(trained, tmp_path):
    """All images are the same one, so that the first losses differ by augmentation alone."""
    cohort = {"dataset_dir": str(trained / "lungs" / "cohort"), "manifest": str(trained / "lungs" / "cohort/one.json")}
    settings = {**UNET, **cohort, **folders(tmp_path), "epochs": 2, "batch_size": 1, "train#trainer#max_epochs": 1}
    in_this_process("lungs", settings).get_parsed_content("train#trainer").run()
    assert abs(losses(tmp_path)[0] - losses(trained / "whole")[0]) > 1e-4  # else the second was as the first


def test_patience_ends_all_processes_and_the_next_training_sets_the_model_aside(trained):
    """All processes stopped together, else the last training would not have run."""
    state = read_checkpoint(trained / "patient" / "models" / "last_epoch.previous.pt")
    assert state["epoch"] == state["best_metric_epoch"] + 1 == 2
    kept = sorted(os.listdir(trained / "patient" / "models"))
    names = ("last_epoch", "model")
    assert kept == sorted(
        [f"{n}{p}.pt" for n in names for p in ("", ".previous")] + ["model.json", "model.previous.json"]
    )


def test_bad_image_ends_all_processes(trained, tmp_path):
    cohort = tmp_path / "cohort"
    draw_phantoms(cohort, patients=10, size=64, seed=3)
    image = next((cohort / "stage_2_train_images").iterdir())
    image.write_bytes(image.read_bytes()[:900])
    settings = {"dataset_dir": cohort, "manifest": cohort / "manifest.json", **folders(tmp_path), **UNET}
    result = command("pneumonia", settings, ok=False)
    assert result.returncode != 0 and "images cannot be used" in result.stderr


def test_without_torchrun(tmp_path):
    arguments = [
        "monai.bundle",
        "run",
        "training",
        "--config_file",
        str(files("pneumonia", "train", "multi_gpu_train")),
    ]
    arguments += [str(part) for name, value in folders(tmp_path).items() for part in (f"--{name}", value)]
    result = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode != 0 and "Traceback" not in result.stderr
    assert "error: multi_gpu_train.json is for several processes. Start them with torchrun" in result.stderr
