"""Every bundle, run the way a user runs it: the commands, the keys of its configuration, and its outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from monai.bundle import ConfigWorkflow, verify_net_in_out
from PIL import Image

from .conftest import ROOT

BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir())
SMALL = ["--image_size", "32", "--epochs", "2", "--network_def#network#channels", "[4,8]"]
SMALL += ["--network_def#network#strides", "[2]"]


def command(*arguments, ok=True):
    result = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    if ok:
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result


@pytest.fixture(scope="module", params=BUNDLES)
def trained(request, cohort, tmp_path_factory):
    """A bundle trained for two epochs by the README's command; gives what later commands need."""
    configs, out = f"bundles/{request.param}/configs", tmp_path_factory.mktemp("run")
    data = ["--dataset_dir", cohort, "--manifest", cohort / "manifest.json"]
    folders = ["--ckpt_dir", out / "models", "--output_dir", out / "eval", "--cache_dir", out / "cache"]
    result = command(
        "monai.bundle", "run", "training", "--config_file", f"{configs}/train.json", *data, *folders, *SMALL
    )
    return request.param, configs, data, folders, out, result


@pytest.mark.parametrize("bundle", BUNDLES)
def test_configs_have_the_keys_that_monai_and_its_label_server_read(bundle):
    configs = ROOT / "bundles" / bundle / "configs"
    assert (ROOT / "bundles" / bundle / "LICENSE").is_file()
    assert (ROOT / "bundles" / bundle / "docs" / "README.md").is_file()
    train, inference = (json.loads((configs / f"{name}.json").read_text()) for name in ("train", "inference"))
    for key in (
        "bundle_root",
        "device",
        "dataset_dir",
        "network_def",
        "network",
        "train",
        "validate",
        "run",
        "training",
    ):
        assert key in train
    for key in (
        "bundle_root",
        "device",
        "dataset_dir",
        "network_def",
        "preprocessing",
        "postprocessing",
        "inferer",
        "run",
    ):
        assert key in inference
    assert train["network_def"]["network"] == inference["network_def"]["network"]
    for kind, name in (("train", "train"), ("infer", "inference")):
        workflow = ConfigWorkflow(str(configs / f"{name}.json"), workflow_type=kind, logging_file=False, initialize=[])
        workflow.initialize()
        workflow.parser["dataset_dir"] = "elsewhere"
        missing = {key for key, p in workflow.properties.items() if p.get("required") and not _has(workflow, p)}
        assert not missing


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
            assert len(line) <= 120 or '"description"' in line or "doi" in line, f"{path.name}: {line}"


def test_training_leaves_model_log_and_curves(trained):
    *_, out, result = trained
    assert {"model.pt", "last.pt", "model.json"} <= set(os.listdir(out / "models"))
    assert {"training.csv", "curves.png", "tensorboard"} <= set(os.listdir(out / "eval"))
    log = pd.read_csv(out / "eval" / "training.csv")
    assert log["epoch"].tolist() == [1, 2] and log["train_loss"].notna().all()
    assert "nvImageCodec" not in result.stdout + result.stderr
    state = torch.load(out / "models" / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())


def test_resume_goes_on_where_training_ended(trained):
    _, configs, data, folders, out, _ = trained
    arguments = [*data, *folders, *SMALL, "--epochs", "3", "--resume", "True"]
    result = command("monai.bundle", "run", "training", "--config_file", f"{configs}/train.json", *arguments)
    assert "resumed after epoch 2 of 3" in result.stdout
    assert pd.read_csv(out / "eval" / "training.csv")["epoch"].tolist() == [1, 2, 3]


def test_evaluation_leaves_metrics_and_pictures_without_identities(trained, cohort):
    _, configs, data, folders, out, _ = trained
    files = f"['{configs}/train.json','{configs}/evaluate.json']"
    result = command("monai.bundle", "run", "evaluating", "--config_file", files, *data, *folders, *SMALL)
    report = out / "eval" / "test"
    assert set(os.listdir(report)) == {
        "metrics.json",
        "metrics.csv",
        "images.csv",
        "best.png",
        "median.png",
        "worst.png",
    }
    metrics = json.loads((report / "metrics.json").read_text())
    rows = pd.read_csv(report / "images.csv")
    manifest = json.loads((cohort / "manifest.json").read_text())
    assert metrics["images"] == len(rows) == len(manifest["test"])
    assert (rows["tp"] + rows["fp"] + rows["fn"] + rows["tn"] == 96 * 96).all()  # in the images' own grid
    for name, value in metrics.items():
        assert name in result.stdout and (value is None or np.isfinite(value))
    written = result.stdout + (report / "images.csv").read_text() + (report / "metrics.csv").read_text()
    for entry in manifest["test"]:
        assert entry["image"].split("/")[-1].removesuffix(".dcm") not in written
        assert entry["patient_id"] not in written


def test_inference_writes_a_mask_and_an_overlay_in_each_image_s_own_grid(trained, cohort, write_dicom, tmp_path):
    bundle, configs, _, _, out, _ = trained
    phantom = next((cohort / "stage_2_train_images").glob("*.dcm"))
    tall = np.pad(np.asarray(_pixels(phantom)), ((0, 40), (0, 0)))
    write_dicom(tall, name="in/sub/1.2.840.7")  # not square, no extension
    write_dicom(tall, name="in/a_first.dcm", PixelSpacing=None)  # a bad file does not keep the good one from its mask
    (tmp_path / "in" / "page.dcm").write_text("<html>" * 100)
    arguments = ["--dataset_dir", tmp_path / "in", "--output_dir", tmp_path / "out"]
    arguments += ["--weights", out / "models" / "model.pt", *SMALL, "--threshold", "0.01"]
    result = command("monai.bundle", "run", "--config_file", f"{configs}/inference.json", *arguments)
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.png")) == [
        "sub/1.2.840.7_mask.png",
        "sub/1.2.840.7_overlay.png",
    ]
    mask = np.asarray(Image.open(tmp_path / "out" / "sub" / "1.2.840.7_mask.png"))
    assert mask.shape == (136, 96) and mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 255} and mask.any()
    assert np.asarray(Image.open(tmp_path / "out" / "sub" / "1.2.840.7_overlay.png")).shape == (136, 96, 3)
    assert "page.dcm: not a DICOM file" in result.stdout and "a_first.dcm: no pixel spacing" in result.stdout
    assert "Doe" not in result.stdout + result.stderr and "4711" not in result.stdout + result.stderr


def _pixels(path):
    import pydicom

    return pydicom.dcmread(path).pixel_array


def test_commands_do_what_the_configurations_do(trained, cohort, tmp_path):
    bundle, _, data, _, out, _ = trained
    # the shipped network, so that the commands' own defaults hold
    configs = f"bundles/{bundle}/configs"
    folders = ["--ckpt_dir", out / "full", "--output_dir", out / "full", "--cache_dir", out / "cache"]
    command(
        "monai.bundle", "run", "training", "--config_file", f"{configs}/train.json", *data, *folders, "--epochs", "1"
    )
    weights = ["--weights", out / "full" / "model.pt"]
    command("pipelines", "evaluate", bundle, *data, *weights, "--split", "validation", "--output", tmp_path / "report")
    assert (tmp_path / "report" / "validation" / "metrics.json").is_file()
    images = cohort / "stage_2_train_images"
    arguments = ["--input", images, "--output", tmp_path / "masks", *weights, "--submission", tmp_path / "s.csv"]
    command("pipelines", "predict", bundle, *arguments)
    names = sorted(path.stem for path in images.glob("*.dcm"))
    assert sorted(p.name for p in (tmp_path / "masks").glob("*_mask.png")) == [f"{name}_mask.png" for name in names]
    submission = pd.read_csv(tmp_path / "s.csv")
    assert list(submission) == ["patientId", "PredictionString"] and sorted(submission["patientId"]) == names


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
    _, configs, data, folders, _, _ = trained
    change = [str(tmp_path) if value == "EMPTY" else value for value in change]
    arguments = [*data, *folders, *SMALL, *change]
    assert message in failing("monai.bundle", "run", "training", "--config_file", f"{configs}/train.json", *arguments)


def test_damaged_image_ends_a_training_before_it_starts(trained, cohort, tmp_path):
    import shutil

    _, configs, _, folders, _, _ = trained
    spoilt = shutil.copytree(cohort, tmp_path / "spoilt")
    entry = json.loads((spoilt / "manifest.json").read_text())["training"][0]["image"]
    (spoilt / entry).write_bytes((spoilt / entry).read_bytes()[:2000])
    data = ["--dataset_dir", spoilt, "--manifest", spoilt / "manifest.json"]
    arguments = ["monai.bundle", "run", "training", "--config_file", f"{configs}/train.json", *data, *folders, *SMALL]
    line = failing(*arguments)
    assert "1 of 16 images cannot be used" in line or "1 of 17 images cannot be used" in line
    (spoilt / entry).unlink()
    assert f"{entry.split('/')[-1]}: no such file" in failing(*arguments)


def test_weights_of_another_network_end_an_inference_before_it_starts(trained, cohort):
    _, configs, _, _, out, _ = trained
    arguments = ["--dataset_dir", cohort, "--weights", out / "models" / "model.pt"]  # of the small network
    line = failing("monai.bundle", "run", "--config_file", f"{configs}/inference.json", *arguments)
    assert "the weights are those of another network" in line
    arguments = ["--config_file", f"{configs}/inference.json", "--weights", "gone.pt"]
    assert "README.md/out: cannot be written to" in failing(
        "monai.bundle", "run", *arguments, "--output_dir", "README.md/out"
    )
    line = failing("monai.bundle", "run", *arguments, "--output_dir", out / "none")
    assert "gone.pt: no such file. Train first" in line


def test_commands_report_bad_input(tmp_path):
    line = failing("pipelines", "manifest", "rsna", tmp_path / "gone", "--out", tmp_path / "m.json")
    assert "stage_2_train_labels.csv: no such file" in line
    assert "gone: no such bundle" in failing("pipelines", "predict", "gone", "--input", tmp_path, "--output", tmp_path)
