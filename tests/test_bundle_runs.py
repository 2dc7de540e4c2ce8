"""Every bundle trained, evaluated and used for prediction, with each of its overlays; and what bad input says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from PIL import Image

from pipelines.__main__ import main
from pipelines.provenance import is_of, weights_hash
from pipelines.reporting.report import write_report
from pipelines.schemas import read_described
from tests.conftest import ROOT
from tests.running import BUNDLES, RADIOGRAPHS, Trained, bundle_of, draw, refused, run, small
from transforms import CTReader

# What an overlay goes on top of, where that is not the training
ON_INFERENCE = {"submission", "in_lungs", "fixed_threshold"}
ON_EVALUATION = {"in_lungs", "fixed_threshold"}
NEEDS_PROCESSES = {"multi_gpu_train", "elastic"}  # see tests/pipelines/training/test_{distributed,elastic}.py
GOES_ON = {"stage2", "finetune"}  # from a whole model
CONFIGURATIONS = {"train", "evaluate", "inference", "metadata"}
MORE_SETTINGS = {  # of an overlay that brings a network or data of its own
    ("opacity", "classic"): {"image_size": 32},
    ("opacity", "classic_unpadded"): {"image_size": 64},
    ("opacity", "from_lungs"): {"image_size": 32},  # into the network as it is, which has the lungs' encoder
    ("abdomen", "stage1"): {"batch_size": 2, "accumulation_steps": 1},
    ("abdomen", "stage2"): {"batch_size": 2, "accumulation_steps": 1},
}
SLOW = {"classic", "classic_unpadded", "stage1", "stage2", "quick"}  # large networks, or the whole data
OVERLAYS = [
    (bundle, path.stem)
    for bundle in BUNDLES
    for path in sorted((ROOT / "bundles" / bundle / "configs").glob("*.json"))
    if path.stem not in CONFIGURATIONS | NEEDS_PROCESSES
]


# tests of one bundle in one process, which then draws and trains once
in_group = pytest.mark.xdist_group


@pytest.fixture(scope="module")
def trained(request, tmp_path_factory):
    """The bundle that the test is run with, trained once for all of them."""
    out = tmp_path_factory.mktemp(request.param)
    found = Trained(request.param, draw(request.param, out / "cohort"), out, small(request.param))
    found.train()
    return found


each_bundle = pytest.mark.parametrize(
    "trained", [pytest.param(name, marks=in_group(name)) for name in BUNDLES], indirect=True
)
each_of_radiographs = pytest.mark.parametrize(
    "trained", [pytest.param(name, marks=in_group(name)) for name in RADIOGRAPHS], indirect=True
)


@each_bundle
def test_training_leaves_model_log_and_curves(trained):
    assert {"model.pt", "last_epoch.pt", "model.json"} <= set(os.listdir(trained.out / "models"))
    assert {"training.csv", "curves.png", "tensorboard"} <= set(os.listdir(trained.out / "eval"))
    log = pd.read_csv(trained.out / "eval" / "training.csv")
    assert log["epoch"].tolist()[:2] == [1, 2] and log["train_loss"].notna().all()
    for panel in ("train_loss", "train_dice", "train_iou", "val_loss", "val_dice", "val_iou"):
        assert any(column.startswith(panel) for column in log), panel
    state = torch.load(trained.weights, weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())


@each_bundle
def test_weights_name_all_settings_that_they_need(trained, tmp_path):
    """And are refused where one is another."""
    said = json.loads((trained.out / "models" / "model.json").read_text())["settings"]
    configured = bundle_of(trained.name).read(["train"], **trained.small)
    assert said == {key: configured.get_parsed_content(key) for key in configured["settings"]}
    for key, value in said.items():
        other = {"percentiles": [1, 99], "window": [0, 80], "channels": "neighbours", "task": "bones"}.get(key)
        other = value * 2 if key == "image_size" else other
        with refused(f"was trained with {key} {value}, and {other} is configured"):
            trained.infer(trained.images, tmp_path / "out", **{key: other})
        with refused(f"was trained with {key} {value}, and {other} is configured"):
            trained.evaluate(**{key: other, "output_dir": tmp_path / "eval"})


@each_bundle
def test_evaluation_leaves_metrics_and_pictures_without_identities(trained, caplog):
    with caplog.at_level("INFO"):
        trained.evaluate()
    report = trained.out / "eval" / "test"
    pictures = {"best.png", "median.png", "worst.png"}
    rows = "cases.csv" if bundle_of(trained.name).is_volumetric else "images.csv"
    more = (
        {"confusion_matrix.csv", "confusion_matrix.png", "roc.png"}
        if rows == "cases.csv"
        else {"pixels.npz", "masks.npz", "bottom.npy"}
    )
    more |= {"boxes.json"} if trained.name == "pneumonia" else set()
    assert set(os.listdir(report)) == {"metrics.json", "metrics.csv", rows} | pictures | more
    table = pd.read_csv(report / rows)
    assert len(table) == len(trained.manifest["test"])
    metrics = read_described(report / "metrics.json", "metrics", "")
    told = metrics.pop("evaluated")
    assert (told["weights"], told["split"]) == (weights_hash(trained.weights), "test")
    places = {key: str(value) for key, value in {**trained.data, **trained.folders}.items()}
    files = ["train", "evaluate"]
    assert is_of(report, bundle_of(trained.name).read(files, **places, **trained.small))
    changed = {"validate#evaluator#amp": True}
    assert not is_of(report, bundle_of(trained.name).read(files, **places, **trained.small, **changed))
    for name, value in metrics.items():
        if name != "$schema":
            assert name in caplog.text and (value is None or np.isfinite(value))
    written = caplog.text + (report / rows).read_text() + (report / "metrics.csv").read_text()
    for entry in trained.manifest["test"]:
        assert Path(entry["image"]).stem not in written and entry["patient_id"] not in written
    page = write_report(
        bundle_of(trained.name), report, trained.data["manifest"], trained.cohort, weights=trained.weights
    )
    assert read_described(report / "report.json", "report", "")["evaluated"] == told
    assert ("Confusion of classes" in page.read_text()) == bundle_of(trained.name).is_volumetric
    if rows == "images.csv":  # in the images' own grid
        assert (table["tp"] + table["fp"] + table["fn"] + table["tn"] == 96 * 96).all()


@each_bundle
def test_inference_writes_a_mask_and_an_overlay_for_each_image(trained, tmp_path, caplog):
    """And leaves out, with the reason, what is no image for the bundle; the folders' structure is kept."""
    source = sorted(trained.images.iterdir())[0]
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / "in" / "sub" / source.name)
    (tmp_path / "in" / "page.dcm").write_text("<html>" * 100)
    trained.infer(tmp_path / "in", tmp_path / "out")
    written = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file())
    bundle = bundle_of(trained.name)
    checks = ["check.json"] if trained.name == "lungs" else []  # of others, once they are calibrated
    endings = ["mask.nii.gz" if bundle.is_volumetric else "mask.png", "overlay.png", *checks]
    assert len(written) == len(endings) and all(name.startswith("sub/") for name in written)
    assert all(any(name.endswith(f"_{ending}") for name in written) for ending in endings)
    assert "page.dcm: not a DICOM file" in caplog.text
    for name in written:
        if name.endswith(".nii.gz"):
            saved, volume = nibabel.load(tmp_path / "out" / name), CTReader().open(next(source.iterdir()))
            assert set(np.unique(saved.dataobj)) <= set(range(6)) and saved.shape == volume.shape
            assert np.allclose(saved.affine, volume.affine, atol=1e-3)


@each_of_radiographs
def test_masks_of_radiographs_are_in_their_own_grid_whatever_its_shape(trained, write_dicom, tmp_path, caplog):
    source = next(trained.images.iterdir())
    pixels = pydicom.dcmread(source).pixel_array if source.suffix == ".dcm" else np.asarray(Image.open(source))
    tall = np.pad(pixels, ((0, 40), (0, 0)))
    write_dicom(tall, name="in/sub/1.2.840.7")  # not square, no extension
    cut = write_dicom(tall, name="in/sub/cut.dcm")
    cut.write_bytes(cut.read_bytes()[:-500])  # a bad file does not keep the good one from its mask
    trained.infer(tmp_path / "in", tmp_path / "out", threshold=0.01)
    out = tmp_path / "out" / "sub"
    assert {p.name for p in out.glob("*.png")} == {"1.2.840.7_mask.png", "1.2.840.7_overlay.png"}
    mask = np.asarray(Image.open(out / "1.2.840.7_mask.png"))
    assert mask.shape == (136, 96) and mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 255} and mask.any()
    assert np.asarray(Image.open(out / "1.2.840.7_overlay.png")).shape == (136, 96, 3)
    assert "cut.dcm: was cut short" in caplog.text
    assert "Doe" not in caplog.text and "4711" not in caplog.text


@each_bundle
def test_resume_goes_on_where_training_ended(trained, tmp_path, caplog):
    shutil.copytree(trained.out / "models", tmp_path / "models")
    shutil.copytree(trained.out / "eval", tmp_path / "eval")
    with caplog.at_level("INFO"):
        trained.train(epochs=3, resume=True, ckpt_dir=tmp_path / "models", output_dir=tmp_path / "eval")
    assert "resumed after epoch 2 of 3" in caplog.text
    assert pd.read_csv(tmp_path / "eval" / "training.csv")["epoch"].tolist() == [1, 2, 3]


# Overlays -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    """A bundle's phantoms and a folder for it, made when it is first asked for."""
    made: dict[str, Trained] = {}

    def cohort_of(name: str) -> Trained:
        if name not in made:
            out = tmp_path_factory.mktemp(name)
            made[name] = Trained(name, draw(name, out / "cohort", patients=12, size=64), out, small(name))
        return made[name]

    return cohort_of


@pytest.mark.parametrize(
    ("bundle", "overlay"),
    [
        pytest.param(*pair, id="-".join(pair), marks=[in_group(pair[0]), *[pytest.mark.slow] * (pair[1] in SLOW)])
        for pair in OVERLAYS
    ],
)
def test_every_overlay_runs(cohorts, bundle, overlay, tmp_path):
    """A short training, or one prediction, with what the overlay says."""
    found = cohorts(bundle)
    settings = MORE_SETTINGS.get((bundle, overlay), found.small)
    if overlay in ON_INFERENCE:
        predict_with(found, overlay, settings, tmp_path)
        return
    folders = {"ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "eval"}
    data = png_slices(found.cohort, tmp_path / "slices") if overlay == "png_slices" else found.data
    if overlay in GOES_ON:
        settings = settings | {"weights": tmp_path / "before.pt"}
        save_weights(found, settings, tmp_path / "before.pt")
        told = {"trained_on": "another hospital", "trained_images": ["0" * 8]}
        (tmp_path / "before.json").write_text(json.dumps(told))
    size = {"image_size": found.small["image_size"]}
    listed = "$pipelines.datalist(@manifest, @dataset_dir, '{}', task=@task)[:{}]"
    first = {
        f"{part}#dataset#data": listed.format(split, 1 if bundle_of(bundle).is_volumetric else 2)
        for part, split in (("train", "training"), ("validate", "validation"))
        if overlay != "png_slices"
    }
    everything = {**found.folders, **folders, **data, **size, **settings, **first, "epochs": 1}
    run(bundle, ["train", overlay], "training", **everything)
    log = pd.read_csv(tmp_path / "eval" / "training.csv")
    assert len(log) == 1 and np.isfinite(log["train_loss"]).all()
    assert (tmp_path / "models" / "last_epoch.pt").is_file()
    if overlay in GOES_ON:  # a few steps of at most the learning rate each lie between
        before, after = (
            torch.load(path, weights_only=True) for path in (settings["weights"], tmp_path / "models/model.pt")
        )
        name = next(name for name, value in before.items() if value.ndim > 1)
        assert torch.allclose(before[name], after[name], atol=0.01) and not torch.equal(before[name], after[name])
        told = json.loads((tmp_path / "models/model.json").read_text())
        assert told["trained_on"].startswith("another hospital, then ") and "0" * 8 in told["trained_images"]


def predict_with(found, overlay, settings, tmp_path):
    weights = tmp_path / "model.pt"
    save_weights(found, settings, weights)
    source = sorted(found.images.iterdir())[0]
    (tmp_path / "in").mkdir()
    shutil.copy(source, tmp_path / "in")
    more = {"submission": tmp_path / "submission.csv"} if overlay == "submission" else {}
    places = {"dataset_dir": tmp_path / "in", "output_dir": tmp_path / "out", "weights": weights}
    run(found.name, ["inference", overlay], "run", **places, **settings, **more)
    assert len(list((tmp_path / "out").glob("*_mask.png"))) == 1
    if overlay == "submission":
        assert pd.read_csv(tmp_path / "submission.csv")["patientId"].tolist() == [source.stem]
    if overlay in ON_EVALUATION:
        places = {"ckpt_dir": tmp_path, "output_dir": tmp_path / "eval"}
        run(found.name, ["train", "evaluate", overlay], "evaluating", **{**found.data, **places, **settings})
        assert (tmp_path / "eval" / "test" / "metrics.json").is_file()


def save_weights(found, settings, path):
    settings = {key: value for key, value in settings.items() if key != "weights"}
    torch.manual_seed(1)  # not that of the training
    parser = bundle_of(found.name).read(["inference"], **settings)
    torch.save(parser.get_parsed_content("network_def").state_dict(), path)


def png_slices(cohort, folder):
    """Slices of the cohort's CT as pictures, with a manifest."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for label in sorted((cohort / "segmentations").iterdir()):
        labels = np.asarray(nibabel.load(label).dataobj).astype(np.uint8)
        for index in range(8, 12):
            name = f"{label.name[:5]}_1_{index}.png"
            Image.fromarray(labels[..., index] * 40).save(folder / "images" / name)
            Image.fromarray(labels[..., index]).save(folder / "masks" / name)
    assert main(["manifest", "trauma_png", str(folder), "--out", str(folder / "manifest.json")]) == 0
    return {"dataset_dir": folder, "manifest": folder / "manifest.json"}


# Bad input: one message, before anything is computed ----------------------------------------------------------------


@pytest.mark.parametrize("bundle", [pytest.param(name, marks=in_group(name)) for name in BUNDLES])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"manifest": "gone.json"}, "gone.json: no such manifest"),
        ({"output_dir": "README.md/out"}, "README.md/out: cannot be written to"),
        ({"bundle_root": "tests"}, "is not a bundle"),
        ({"resume": True}, "nothing to resume from"),
    ],
)
def test_bad_settings_of_a_training(cohorts, bundle, tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(ROOT)
    with refused(message):
        cohorts(bundle).train(**{"ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "eval", **change})


@pytest.mark.parametrize("bundle", [pytest.param(name, marks=in_group(name)) for name in BUNDLES])
def test_damaged_image_ends_a_training_before_it_starts(cohorts, bundle, tmp_path):
    found = cohorts(bundle)
    spoilt = shutil.copytree(found.cohort, tmp_path / "spoilt")
    entry = spoilt / found.manifest["training"][0]["image"]
    file = sorted(entry.iterdir())[0] if entry.is_dir() else entry
    file.write_bytes(file.read_bytes()[:900])
    places = {"dataset_dir": spoilt, "manifest": spoilt / "manifest.json", "ckpt_dir": tmp_path / "models"}
    places |= {"output_dir": tmp_path / "eval", "cache_dir": tmp_path / "cache"}
    number = len(found.manifest["training"])
    with refused(f"1 of {number} {'volumes' if entry.is_dir() else 'images'} cannot be used"):
        found.train(**places)
    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    with refused(f"{entry.name}: no such file"):
        found.train(**places)


@pytest.mark.parametrize("bundle", [pytest.param(name, marks=in_group(name)) for name in BUNDLES])
def test_weights_of_another_network_end_an_inference_before_it_starts(cohorts, bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = cohorts(bundle)
    torch.save({"other.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with refused("the weights are those of another network"):
        found.infer(found.images, tmp_path / "none", weights=tmp_path / "other.pt")
    with refused("README.md/out: cannot be written to"):
        found.infer(found.images, "README.md/out", weights="gone.pt")
    with refused("gone.pt: no such file. Train first"):
        found.infer(found.images, tmp_path / "none", weights="gone.pt")


# In processes of their own, as a user types them --------------------------------------------------------------------


def command(*arguments):
    arguments = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_the_readme_s_commands(tmp_path):
    """Training by MONAI's command, on phantoms that it draws; then evaluation and prediction by ours."""
    folders = ["--ckpt_dir", tmp_path / "m", "--output_dir", tmp_path / "e", "--cache_dir", tmp_path / "c"]
    phantoms = ["--phantoms#folder", tmp_path / "p", "--phantoms#patients", 10, "--phantoms#size", 64]
    config = ["--config_file", "bundles/pneumonia/configs/train.json"]
    fast = ["--image_size", "64", "--epochs", "1"]
    result = command("monai.bundle", "run", "training", *config, *phantoms, *folders, *fast)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "These are PHANTOMS" in result.stdout and "nvImageCodec" not in result.stdout + result.stderr
    weights = ["--weights", str(tmp_path / "m" / "model.pt")]
    data = ["--dataset_dir", str(tmp_path / "p"), "--manifest", str(tmp_path / "p" / "manifest.json")]
    report = ["--split", "validation", "--output", str(tmp_path / "report")]
    pneumonia = str(ROOT / "bundles" / "pneumonia")
    assert main(["evaluate", pneumonia, *data, *weights, "--output", str(tmp_path / "no")]) == 1  # image_size
    assert main(["evaluate", pneumonia, *data, *weights, "--image_size", "64", *report]) == 0
    assert (tmp_path / "report" / "validation" / "metrics.json").is_file()
    images = ["--input", str(tmp_path / "p" / "stage_2_train_images"), "--output", str(tmp_path / "masks")]
    submission = ["--image_size", "64", "--submission", str(tmp_path / "s.csv")]
    assert main(["predict", pneumonia, *images, *weights, *submission]) == 0
    assert len(list((tmp_path / "masks").rglob("*_mask.png"))) == 10
    table = pd.read_csv(tmp_path / "s.csv")
    names = sorted(path.stem for path in (tmp_path / "p" / "stage_2_train_images").iterdir())
    assert list(table) == ["patientId", "PredictionString"] and sorted(table["patientId"]) == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pipelines", "predict", "gone", "--input", ".", "--output", "OUT"], "gone: no such bundle"),
        (
            [
                *("monai.bundle", "run", "training", "--config_file", "bundles/lungs/configs/train.json"),
                *("--dataset_dir", "OUT", "--manifest", "gone.json", "--output_dir", "OUT", "--ckpt_dir", "OUT"),
            ],
            "gone.json: no such manifest",
        ),
    ],
)
def test_programs_end_with_one_message_and_no_traceback(tmp_path, arguments, message):
    result = command(*(str(tmp_path / "out") if word == "OUT" else word for word in arguments))
    assert result.returncode != 0 and "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message in line
