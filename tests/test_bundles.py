"""Every bundle, run the way a user runs it: the commands, the keys of its configuration, and its outputs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from monai.bundle import ConfigWorkflow, verify_net_in_out
from PIL import Image

from pipelines import draw_ct_phantoms, draw_phantoms

from .conftest import ROOT

SMALL_UNET = ["--network_def#network#channels", "[4,8]", "--network_def#network#strides", "[2]"]


@dataclass
class Case:
    """What a bundle's phantoms, settings and outputs are; everything else is the same for all."""

    draw: Callable[[Path], str]
    images: str  # where its images lie in the phantoms' folder
    small: list[str]  # settings with which it trains in seconds
    rows: str = "images.csv"  # the report's table
    drawn: tuple[str, ...] = ("best.png", "median.png", "worst.png")  # the report's pictures
    mask: str = "mask.png"
    more: tuple[str, ...] = ()  # what prediction writes beside masks and overlays


def _masks(truth):
    return lambda folder: draw_phantoms(folder, patients=24, size=96, seed=3, truth=truth)


SMALL = ["--image_size", "32", "--epochs", "2", *SMALL_UNET]
TASK_KEYS = {"threshold", "mask_reader"}  # CT has labels in volumes, which its reader reads
CASES = {
    "pneumonia": Case(
        lambda folder: draw_phantoms(folder, patients=24, size=96, seed=3), "stage_2_train_images", SMALL
    ),
    "lungs": Case(_masks("lungs"), "images", SMALL, more=("check.json",)),
    "opacity": Case(_masks("opacity"), "images", SMALL),
    "abdomen": Case(
        lambda folder: draw_ct_phantoms(folder, patients=6, size=48, seed=3),
        "train_images",
        ["--image_size", "64", "--epochs", "2", "--batch_size", "8"],
        "cases.csv",
        ("best.png", "median.png", "worst.png", "confusion_matrix.csv", "confusion_matrix.png", "roc.png"),
        "mask.nii.gz",
    ),
}
BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir())


def test_each_bundle_is_run():
    assert set(BUNDLES) == set(CASES)


def command(*arguments, ok=True):
    result = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    if ok:
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result


@dataclass
class Run:
    """A bundle trained for two epochs by the README's command, and what later commands need."""

    bundle: str
    case: Case
    configs: str
    cohort: Path
    out: Path
    log: str

    @property
    def data(self):
        return ["--dataset_dir", self.cohort, "--manifest", self.cohort / "manifest.json"]

    @property
    def folders(self):
        out = self.out
        return ["--ckpt_dir", out / "models", "--output_dir", out / "eval", "--cache_dir", out / "cache"]

    def train(self, *arguments, **options):
        arguments = [*self.data, *self.folders, *self.case.small, *arguments]
        return command(
            "monai.bundle", "run", "training", "--config_file", f"{self.configs}/train.json", *arguments, **options
        )

    @property
    def manifest(self):
        return json.loads((self.cohort / "manifest.json").read_text())


@pytest.fixture(scope="module", params=BUNDLES)
def trained(request, tmp_path_factory):
    case, out = CASES[request.param], tmp_path_factory.mktemp(request.param)
    cohort = Path(case.draw(out / "cohort"))
    run = Run(request.param, case, f"bundles/{request.param}/configs", cohort, out, "")
    result = run.train()
    run.log = result.stdout + result.stderr
    return run


def configuration(bundle, name):
    return json.loads((ROOT / "bundles" / bundle / "configs" / f"{name}.json").read_text())


@pytest.mark.parametrize("bundle", BUNDLES)
def test_configs_have_the_keys_that_monai_and_its_label_server_read(bundle):
    configs = ROOT / "bundles" / bundle / "configs"
    for kind, name in (("train", "train"), ("infer", "inference")):
        workflow = ConfigWorkflow(str(configs / f"{name}.json"), workflow_type=kind, logging_file=False, initialize=[])
        workflow.initialize()
        workflow.parser["dataset_dir"] = "elsewhere"
        missing = {key for key, p in workflow.properties.items() if p.get("required") and not _has(workflow, p)}
        assert not missing
    assert (
        configuration(bundle, "train")["network_def"]["network"]
        == configuration(bundle, "inference")["network_def"]["network"]
    )


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize("name", ["train", "multi_gpu_train", "evaluate", "inference", "metadata", "usual_way"])
def test_configs_of_all_bundles_have_the_same_keys(bundle, name):
    """Whoever knows one bundle knows all: what the first has each has, at the top and in its sections."""
    first, own = configuration("pneumonia", name), configuration(bundle, name)
    assert set(first) - set(own) <= TASK_KEYS and "run" in own or name not in ("train", "evaluate", "inference")
    for section in ("train", "validate"):
        assert set(first.get(section, {})) <= set(own.get(section, {}))


@pytest.mark.parametrize("bundle", BUNDLES)
def test_files_of_all_bundles_are_the_same(bundle):
    root = ROOT / "bundles" / bundle
    for name in ("LICENSE", "docs/README.md", "docs/data_license.txt", "configs/logging.conf", "models/.gitkeep"):
        assert (root / name).is_file(), name
    headings = [line for line in (root / "docs" / "README.md").read_text().splitlines() if line.startswith("## ")]
    wanted = ["Overview", "Data", "Training", "Performance", "Commands", "References", "License"]
    assert headings == [f"## {heading}" for heading in wanted]


def _has(workflow, prop):
    return prop["id"] in workflow.parser or prop["id"].startswith("_meta_")


@pytest.mark.parametrize("bundle", BUNDLES)
def test_network_takes_and_gives_what_the_metadata_say(bundle):
    configs = ROOT / "bundles" / bundle / "configs"
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.json"),
        device="cpu",
        precision="float32",
    )


@pytest.mark.parametrize("bundle", BUNDLES)
def test_no_logic_hides_in_configuration(bundle):
    for path in (ROOT / "bundles" / bundle / "configs").glob("*.json"):
        for line in path.read_text().splitlines():
            assert len(line) <= 120 or path.name == "metadata.json", f"{path.name}: {line}"


def test_training_leaves_model_log_and_curves(trained):
    assert {"model.pt", "last_epoch.pt", "model.json"} <= set(os.listdir(trained.out / "models"))
    assert {"training.csv", "curves.png", "tensorboard"} <= set(os.listdir(trained.out / "eval"))
    log = pd.read_csv(trained.out / "eval" / "training.csv")
    assert log["epoch"].tolist() == [1, 2] and log["train_loss"].notna().all()
    for panel in ("train_loss", "train_dice", "train_iou", "val_loss", "val_dice", "val_iou"):
        assert any(column.startswith(panel) for column in log), panel
    assert "nvImageCodec" not in trained.log
    state = torch.load(trained.out / "models" / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())


def test_resume_goes_on_where_training_ended(trained):
    result = trained.train("--epochs", "3", "--resume", "True")
    assert "resumed after epoch 2 of 3" in result.stdout
    assert pd.read_csv(trained.out / "eval" / "training.csv")["epoch"].tolist() == [1, 2, 3]


def test_evaluation_leaves_metrics_and_pictures_without_identities(trained):
    files = f"['{trained.configs}/train.json','{trained.configs}/evaluate.json']"
    arguments = [*trained.data, *trained.folders, *trained.case.small]
    result = command("monai.bundle", "run", "evaluating", "--config_file", files, *arguments)
    report = trained.out / "eval" / "test"
    assert set(os.listdir(report)) == {"metrics.json", "metrics.csv", trained.case.rows, *trained.case.drawn}
    metrics = json.loads((report / "metrics.json").read_text())
    rows = pd.read_csv(report / trained.case.rows)
    assert len(rows) == len(trained.manifest["test"])
    for name, value in metrics.items():
        if not isinstance(value, (list, dict)):
            assert name in result.stdout and (value is None or np.isfinite(value))
    written = result.stdout + (report / trained.case.rows).read_text() + (report / "metrics.csv").read_text()
    for entry in trained.manifest["test"]:
        assert Path(entry["image"]).stem not in written and entry["patient_id"] not in written


def test_evaluation_of_radiographs_is_in_their_own_grid(trained):
    if trained.case.rows == "images.csv":
        rows = pd.read_csv(trained.out / "eval" / "test" / "images.csv")
        assert (rows["tp"] + rows["fp"] + rows["fn"] + rows["tn"] == 96 * 96).all()


def predict(trained, folder, out, *arguments):
    arguments = ["--dataset_dir", folder, "--output_dir", out, *arguments]
    arguments += ["--weights", trained.out / "models" / "model.pt", *trained.case.small]
    return command("monai.bundle", "run", "--config_file", f"{trained.configs}/inference.json", *arguments)


def test_inference_writes_a_mask_and_an_overlay_for_each_image(trained, tmp_path):
    """And leaves out, with the reason, what is no image for the bundle; the folders' structure is kept."""
    source = sorted((trained.cohort / trained.case.images).iterdir())[0]
    (shutil.copytree if source.is_dir() else shutil.copy)(source, _parent(tmp_path / "in" / "sub") / source.name)
    (tmp_path / "in" / "page.dcm").write_text("<html>" * 100)
    result = predict(trained, tmp_path / "in", tmp_path / "out")
    written = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file())
    endings = (trained.case.mask, "overlay.png", *trained.case.more)
    assert len(written) == len(endings) and all(name.startswith("sub/") for name in written)
    assert all(any(name.endswith(f"_{ending}") for name in written) for ending in endings)
    assert "page.dcm: " in result.stdout
    for name in written:
        if name.endswith(".nii.gz"):
            mask = nibabel.load(tmp_path / "out" / name)
            label = next(e["label"] for e in _entries(trained) if source.name in e["image"])
            truth = nibabel.load(trained.cohort / label)
            assert set(np.unique(mask.dataobj)) <= set(range(6)) and sorted(mask.shape) == sorted(truth.shape)


def _parent(folder):
    folder.mkdir(parents=True)
    return folder


def _entries(trained):
    return [entry for split in ("training", "validation", "test") for entry in trained.manifest[split]]


def test_masks_of_radiographs_are_in_their_own_grid_whatever_its_shape(trained, write_dicom, tmp_path):
    if trained.case.mask != "mask.png":
        pytest.skip("a bundle for CT")
    source = next((trained.cohort / trained.case.images).iterdir())
    pixels = pydicom.dcmread(source).pixel_array if source.suffix == ".dcm" else np.asarray(Image.open(source))
    tall = np.pad(pixels, ((0, 40), (0, 0)))
    write_dicom(tall, name="in/sub/1.2.840.7")  # not square, no extension
    write_dicom(tall, name="in/sub/cut.dcm")
    cut = tmp_path / "in" / "sub" / "cut.dcm"
    cut.write_bytes(cut.read_bytes()[:-500])  # a bad file does not keep the good one from its mask
    result = predict(trained, tmp_path / "in", tmp_path / "out", "--threshold", "0.01")
    out = tmp_path / "out" / "sub"
    assert {p.name for p in out.glob("*.png")} == {"1.2.840.7_mask.png", "1.2.840.7_overlay.png"}
    mask = np.asarray(Image.open(out / "1.2.840.7_mask.png"))
    assert mask.shape == (136, 96) and mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 255} and mask.any()
    assert np.asarray(Image.open(out / "1.2.840.7_overlay.png")).shape == (136, 96, 3)
    assert "cut.dcm: was cut short" in result.stdout
    assert "Doe" not in result.stdout + result.stderr and "4711" not in result.stdout + result.stderr


def test_commands_do_what_the_configurations_do(trained, tmp_path):
    """With the networks as they are configured, so that the commands' own defaults hold."""
    settings = ["--image_size", "64", "--epochs", "1"]
    folders = ["--ckpt_dir", tmp_path / "full", "--output_dir", tmp_path / "full", "--cache_dir", tmp_path / "cache"]
    files = ["--config_file", f"{trained.configs}/train.json"]
    command("monai.bundle", "run", "training", *files, *trained.data, *folders, *settings)
    weights = ["--weights", tmp_path / "full" / "model.pt"]
    line = failing("pipelines", "evaluate", trained.bundle, *trained.data, *weights, "--output", tmp_path / "no")
    assert "was trained with image_size 64" in line
    weights += settings[:2]
    arguments = [*weights, "--split", "validation", "--output", tmp_path / "report"]
    command("pipelines", "evaluate", trained.bundle, *trained.data, *arguments)
    assert (tmp_path / "report" / "validation" / "metrics.json").is_file()
    images = tmp_path / "images"
    for source in sorted((trained.cohort / trained.case.images).iterdir())[:2]:
        (shutil.copytree if source.is_dir() else shutil.copy)(source, _parent(images / source.stem) / source.name)
    command("pipelines", "predict", trained.bundle, "--input", images, "--output", tmp_path / "masks", *weights)
    assert len(list((tmp_path / "masks").rglob(f"*_{trained.case.mask}"))) == 2


# Bad input: one message, no traceback, before anything is computed ---------------------------------------------------


def failing(*arguments):
    result = command(*arguments, ok=False)
    assert result.returncode != 0 and "Traceback" not in result.stderr
    (line, *_) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--manifest", "gone.json"], "gone.json: no such manifest"),
        (["--output_dir", "README.md/out"], "README.md/out: cannot be written to"),
        (["--bundle_root", "tests"], "is no bundle"),
        (["--resume", "True", "--ckpt_dir", "EMPTY"], "nothing to resume from"),
    ],
)
def test_bad_settings_of_a_training(trained, tmp_path, change, message):
    change = [str(tmp_path) if value == "EMPTY" else value for value in change]
    files = ["--config_file", f"{trained.configs}/train.json"]
    arguments = [*trained.data, *trained.folders, *trained.case.small, *change]
    assert message in failing("monai.bundle", "run", "training", *files, *arguments)


def test_damaged_image_ends_a_training_before_it_starts(trained, tmp_path):
    spoilt = shutil.copytree(trained.cohort, tmp_path / "spoilt")
    entry = spoilt / trained.manifest["training"][0]["image"]
    file = sorted(entry.iterdir())[0] if entry.is_dir() else entry
    file.write_bytes(file.read_bytes()[:900])
    data = ["--dataset_dir", spoilt, "--manifest", spoilt / "manifest.json"]
    files = ["--config_file", f"{trained.configs}/train.json"]
    arguments = ["monai.bundle", "run", "training", *files, *data, *trained.folders, *trained.case.small]
    number = len(trained.manifest["training"])
    assert f"1 of {number} {'volumes' if entry.is_dir() else 'images'} cannot be used" in failing(*arguments)
    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    assert f"{entry.name}: no such file" in failing(*arguments)


def test_weights_of_another_network_end_an_inference_before_it_starts(trained, tmp_path):
    files = ["--config_file", f"{trained.configs}/inference.json", "--dataset_dir", trained.cohort]
    torch.save({"other.weight": torch.zeros(3)}, tmp_path / "other.pt")
    line = failing("monai.bundle", "run", *files, "--weights", tmp_path / "other.pt", "--output_dir", tmp_path / "none")
    assert "the weights are those of another network" in line
    line = failing("monai.bundle", "run", *files, "--weights", "gone.pt", "--output_dir", "README.md/out")
    assert "README.md/out: cannot be written to" in line
    line = failing("monai.bundle", "run", *files, "--weights", "gone.pt", "--output_dir", tmp_path / "none")
    assert "gone.pt: no such file. Train first" in line


def test_submission_of_the_challenge(tmp_path):
    cohort = Path(draw_phantoms(tmp_path / "cohort", patients=10, size=64, seed=3))
    folders = ["--ckpt_dir", tmp_path / "m", "--output_dir", tmp_path / "e", "--cache_dir", tmp_path / "c"]
    files = ["--config_file", "bundles/pneumonia/configs/train.json"]
    data = ["--dataset_dir", cohort, "--manifest", cohort / "manifest.json"]
    command("monai.bundle", "run", "training", *files, *data, *folders, "--image_size", "64", "--epochs", "1")
    arguments = ["--input", cohort / "stage_2_train_images", "--output", tmp_path / "masks"]
    arguments += ["--weights", tmp_path / "m" / "model.pt", "--submission", tmp_path / "s.csv", "--image_size", "64"]
    command("pipelines", "predict", "pneumonia", *arguments)
    submission = pd.read_csv(tmp_path / "s.csv")
    names = sorted(path.stem for path in (cohort / "stage_2_train_images").iterdir())
    assert list(submission) == ["patientId", "PredictionString"] and sorted(submission["patientId"]) == names


def test_commands_report_bad_input(tmp_path):
    line = failing("pipelines", "manifest", "rsna", tmp_path / "gone", "--out", tmp_path / "m.json")
    assert "stage_2_train_labels.csv: no such file" in line
    assert "gone: no such bundle" in failing("pipelines", "predict", "gone", "--input", tmp_path, "--output", tmp_path)
