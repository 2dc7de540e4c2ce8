"""Training by two processes, over gloo on the CPU: what it computes is what one process computes."""

from __future__ import annotations

import json
import os
import shutil
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
from pipelines.training.distributed import join_processes
from tests.conftest import ROOT
from transforms import DataError

UNET = {"network_def#network#channels": [4, 8], "network_def#network#strides": [2], "image_size": 32}
# batch norm is synchronised on GPUs alone
RADIOGRAPHS = {**UNET, "network_def#network#norm": "INSTANCE", "epochs": 2}
# At 2 x 2 pixels batch norm makes much of rounding errors, and Adam steps of one size of them: hence SGD
CT = {"image_size": 64, "epochs": 1, "optimizer#_target_": "torch.optim.SGD", "learning_rate": 0.0005}
# Of each bundle what two processes train with, and what one must to do the same. Abdomen's batch norm and loss, Dice
# over the batch, take each process's batch on its own, as they take each of the batches that are accumulated.
TWO, ONE = (
    {
        "pneumonia": {**RADIOGRAPHS, "lungs_weights": "", "batch_size": 2 * share},
        "lungs": {**RADIOGRAPHS, "batch_size": 2 * share},
        "opacity": {**RADIOGRAPHS, "batch_size": 2 * share},
        "abdomen": {**CT, "batch_size": 1, "accumulation_steps": 2 * share},
    }
    for share in (1, 2)
)
BUNDLES = sorted(TWO)
pytestmark = pytest.mark.xdist_group("two processes")  # each pair is run once for all tests
slow = pytest.mark.slow
RUNS = [pytest.param(name, marks=[] if name == "pneumonia" else slow) for name in (*BUNDLES, "whole")]
PLAN = {"lr_scheduler#total_steps": "$@epochs * len(@train#dataloader)"}
# after the first of two epochs, as if killed: the plan is still that of both
STOPPED = {"train#trainer#max_epochs": 1, **PLAN}


def no_augmentation(bundle: str) -> dict[str, list]:
    """Of radiographs by batch; of slices by items, which must become what the network takes."""
    single = [{"_target_": "EnsureTyped", "keys": ["image", "label"], "dtype": "$torch.float32"}]
    return {"train#random_transforms": single if bundle == "abdomen" else []}


def cohort_of(bundle: str, folder: Path) -> dict[str, str]:
    """Draws a cohort with an even number of training images and an odd one of validation images, or slices."""
    if bundle == "abdomen":
        draw_ct_phantoms(folder, patients=6, size=48, seed=3)
        manifest = json.loads((folder / "manifest.json").read_text())
        series = {entry["image"][-5:]: entry for entry in manifest["training"]}
        chosen = {"training": [series["20010"]], "validation": [series["20040"]], "test": []}
        return with_manifest(folder, manifest | chosen, "manifest.json")
    draw_phantoms(folder, patients=23, size=64, seed=3, truth="boxes" if bundle == "pneumonia" else bundle)
    return {"dataset_dir": str(folder), "manifest": str(folder / "manifest.json")}


def same_images(cohort: Path) -> dict[str, str]:
    """The cohort with one training image, eight times."""
    manifest = json.loads((cohort / "manifest.json").read_text())
    return with_manifest(cohort, manifest | {"training": manifest["training"][:1] * 8}, "same.json")


def with_manifest(cohort: Path, manifest: dict, name: str) -> dict[str, str]:
    (cohort / name).write_text(json.dumps(manifest))
    return {"dataset_dir": str(cohort), "manifest": str(cohort / name)}


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
    settings = {"precision": "float32", **settings}
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
    """Gives the folder of a training by two processes; each is run when it is first asked for.

    Those named after bundles are without augmentation and random order; ``pneumonia`` draws its phantoms itself. The
    others are of lungs, with batch norm and augmentation as they are, and every training image is the same one:
    ``whole``, ``parts``, which is interrupted and resumed, and ``patient``, which learns nothing.
    """
    root = tmp_path_factory.mktemp("two")

    def plain(bundle: str) -> None:
        settings = {**TWO[bundle], **no_augmentation(bundle), "train#sampler#shuffle": False}
        if bundle == "pneumonia":
            folder = root / bundle / "cohort"
            settings |= {"phantoms#folder": folder, "phantoms#patients": 23, "phantoms#size": 64}
        else:
            settings |= cohort_of(bundle, root / bundle / "cohort")
        result = command(bundle, {**settings, **folders(root / bundle)})
        (root / bundle / "log").write_text(result.stdout)

    def usual(name: str, **settings) -> None:
        data = same_images(run("lungs") / "cohort")
        command("lungs", {**UNET, **data, **folders(root / name), "epochs": 2, "batch_size": 1, **PLAN, **settings})

    def run(name: str) -> Path:
        if (root / name / "eval").is_dir():
            return root / name
        if name in BUNDLES:
            plain(name)
        elif name == "whole":
            usual(name)
        elif name == "parts":
            usual(name, **STOPPED)
            usual(name, resume=True)
        elif name == "patient":
            shutil.copytree(run("lungs") / "models", root / name / "models")
            usual(name, learning_rate=1e-30, patience=1, epochs=9)
        return root / name

    return run


def cohort(folder: Path) -> dict[str, str]:
    return {"dataset_dir": str(folder / "cohort"), "manifest": str(folder / "cohort" / "manifest.json")}


@pytest.mark.parametrize("bundle", RUNS[:-1])
def test_losses_and_rates_are_those_of_one_process_with_the_global_batch(bundle, trained, tmp_path):
    folder = trained(bundle)
    settings = {**ONE[bundle], **no_augmentation(bundle), **cohort(folder), **folders(tmp_path)}
    parser = in_this_process(bundle, {**settings, "train#dataloader#shuffle": False})
    parser.get_parsed_content("train#trainer").run()
    one, two = losses(tmp_path), losses(folder)
    if bundle == "abdomen":  # a step of two processes is two of the accumulated steps of one
        one = [(first + second) / 2 for first, second in zip(one[::2], one[1::2], strict=True)]
    assert len(two) >= 8 and len(set(two)) == len(two)
    assert two == pytest.approx(one, abs=1e-4 if bundle == "abdomen" else 1e-5)
    logs = [pd.read_csv(out / "eval" / "training.csv") for out in (tmp_path, folder)]
    for column in ("epoch", "learning_rate", "train_loss"):
        assert logs[1][column].tolist() == pytest.approx(logs[0][column].tolist(), abs=1e-4)


@pytest.mark.parametrize("run", RUNS)
def test_validation_is_that_of_one_process_with_the_same_weights(run, trained, tmp_path):
    """No image counts twice, though one process has more of them than the other; ``whole`` has batch norm."""
    folder = trained(run)
    bundle, settings = (run, {**TWO[run], **no_augmentation(run)}) if run in BUNDLES else ("lungs", UNET)
    parser = in_this_process(bundle, {**settings, **cohort(trained(bundle)), **folders(tmp_path)})
    evaluator = parser.get_parsed_content("validate#evaluator")
    assert len(evaluator.data_loader.dataset) % 2 == 1
    load_weights(evaluator.network, folder / "models" / "model.pt")  # it has the plain names of a network's parameters
    evaluator.run()
    about = json.loads((folder / "models" / "model.json").read_text())
    log = pd.read_csv(folder / "eval" / "training.csv").set_index("epoch").loc[about["epoch"]]
    assert len(evaluator.state.metrics) >= 2
    for metric, value in evaluator.state.metrics.items():
        assert log[metric] == pytest.approx(value, abs=1e-6), metric


@pytest.mark.parametrize("run", RUNS)
def test_one_process_alone_writes(run, trained):
    folder = trained(run)
    assert sorted(os.listdir(folder / "models")) == ["last_epoch.pt", "model.json", "model.pt"]
    assert sorted(os.listdir(folder / "eval")) == ["curves.png", "tensorboard", "training.csv"]
    writers = {name.split(".")[-2] for name in os.listdir(folder / "eval" / "tensorboard")}  # numbers of processes
    assert len(writers) == 1
    assert not [path for path in folder.rglob("*") if path.name.startswith((".", "tmp"))]  # what was not finished


def test_phantoms_are_drawn_once_and_one_process_alone_logs(trained):
    log = (trained("pneumonia") / "log").read_text()
    assert log.count("These are PHANTOMS") == log.count("Epoch[1] Metrics") == 1
    assert len(list((trained("pneumonia") / "cache").glob("*.pt"))) == 16 + 3


@slow
def test_resumed_training_is_the_uninterrupted_one(trained):
    whole, parts = (read_checkpoint(trained(run) / "models" / "last_epoch.pt") for run in ("whole", "parts"))
    assert whole["epoch"] == parts["epoch"] == 2
    for part in ("model", "averaged"):
        assert all(torch.equal(value, parts[part][name]) for name, value in whole[part].items())
    logs = [pd.read_csv(trained(run) / "eval" / "training.csv") for run in ("whole", "parts")]
    drop = ["seconds", "images_per_second"]
    pd.testing.assert_frame_equal(logs[0].drop(columns=drop), logs[1].drop(columns=drop))


@slow
def test_processes_augment_each_in_its_own_way(trained, tmp_path):
    """All images are the same, and one process draws as the first of two does."""
    data = same_images(trained("lungs") / "cohort")
    settings = {**UNET, **data, **folders(tmp_path), "epochs": 2, "batch_size": 1, **STOPPED}
    in_this_process("lungs", settings).get_parsed_content("train#trainer").run()
    assert abs(losses(tmp_path)[0] - losses(trained("whole"))[0]) > 1e-4


@slow
def test_patience_ends_all_processes_and_the_earlier_model_is_set_aside_once(trained):
    models = trained("patient") / "models"
    state = read_checkpoint(models / "last_epoch.pt")
    assert state["epoch"] == state["best_metric_epoch"] + 1 < 9  # averaged statistics go on changing a little
    kept = [
        "last_epoch.pt",
        "last_epoch.previous.pt",
        "model.json",
        "model.previous.json",
        "model.previous.pt",
        "model.pt",
    ]
    assert sorted(os.listdir(models)) == sorted(kept)


@slow
def test_bad_image_ends_all_processes(trained, tmp_path):
    cohort = tmp_path / "cohort"
    draw_phantoms(cohort, patients=10, size=64, seed=3)
    image = next((cohort / "stage_2_train_images").iterdir())
    image.write_bytes(image.read_bytes()[:900])
    settings = {"dataset_dir": cohort, "manifest": cohort / "manifest.json", **folders(tmp_path), **UNET}
    settings["lungs_weights"] = ""
    result = command("pneumonia", settings, ok=False)
    assert result.returncode != 0 and "images cannot be used" in result.stderr


def test_without_torchrun():
    with pytest.raises(DataError, match="for several processes. Start them with torchrun"):
        join_processes()
