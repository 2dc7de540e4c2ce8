"""``evaluate``: the split and the weights that were asked for are what is measured."""

from __future__ import annotations

import json
import os
import shutil
import zipfile

import pandas as pd
import pytest
import torch

from networks.weights import FITTED
from pipelines.__main__ import main
from pipelines.bundle import Bundle
from pipelines.documents import card
from pipelines.phantoms import radiographs as phantoms
from tests.conftest import ROOT


def test_evaluate_measures_the_split_with_the_weights_that_were_asked_for(tmp_path, capsys):
    data, out, bundle = tmp_path / "data", tmp_path / "out", tmp_path / "lungs"
    phantoms.draw_phantoms(data, patients=12, size=64, truth="lungs")
    shutil.copytree(ROOT / "bundles" / "lungs", bundle, ignore=shutil.ignore_patterns("cache", "phantoms", "eval"))
    given = ["evaluate", str(bundle), "--dataset_dir", str(data), "--manifest", f"{data}/manifest.json"]
    assert main([*given, "--output", str(out), "--split", "validation"]) == 0
    metrics = json.loads((out / "validation" / "metrics.json").read_text())
    assert metrics["images"] == 1 and metrics["dice_by_image_over_positives"] > 0.9
    assert main([*given, "--output", str(out), "--weights", "gone.pt"]) == 1
    assert "error: gone.pt: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["evaluate", "report", "calibrate"])
def test_nothing_replaces_the_figures_of_a_cross_validation(cohort, tmp_path, capsys, verb):
    """Such as those of its ensemble."""
    (tmp_path / "fold_0.json").write_text("{}")
    kept = tmp_path / "kept_test" / "ensemble"
    data = ["--dataset_dir", str(cohort), "--manifest", f"{cohort}/manifest.json"]
    assert main([verb, "pneumonia", *data, "--output", str(kept)]) == 1
    assert f"is part of the cross-validation in {tmp_path}" in capsys.readouterr().err
    assert not kept.exists()


def test_report_evaluates_what_is_missing_and_compare_takes_two_evaluations(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    data, out = tmp_path / "data", tmp_path / "out"
    phantoms.draw_phantoms(data, patients=30, size=64, truth="lungs")
    given = ["--dataset_dir", str(data), "--manifest", f"{data}/manifest.json"]
    assert main(["evaluate", "lungs", *given, "--output", str(out), "--split", "test"]) == 0
    page, images = out / "test" / "report.html", out / "test" / "images.csv"
    assert page.is_file() and "worst cases" in page.read_text()
    page.unlink()
    before = images.stat().st_mtime_ns
    os.utime(data / "manifest.json")  # later than the evaluation, and the same
    weights = ["--weights", str(ROOT / "bundles" / "lungs" / "models" / "model.pt")]  # the same, given by hand
    assert main(["report", "lungs", *given, "--output", str(out), *weights]) == 0
    assert images.stat().st_mtime_ns == before and (out / "validation" / "pixels.npz").is_file() and page.is_file()
    report = json.loads((out / "test" / "report.json").read_text())
    images = pd.read_csv(out / "test" / "images.csv")
    assert report["means_by_case"]["dice"]["mean"] == images["dice"].mean()
    assert report["trained_on"] == "shenzhen-montgomery-children-sick"
    assert (out / "test" / "report.html").is_file()

    assert report["command"] == (
        "python -m pipelines report lungs --dataset_dir DATA --manifest manifest.json --split test"
    )

    shutil.copytree(out / "test", tmp_path / "other")
    images.assign(dice=images["dice"] - 0.25).to_csv(tmp_path / "other" / "images.csv", index=False)
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "other"), str(out / "test"), "--figure", str(tmp_path / "both.png")]) == 0
    assert "difference 0.250" in capsys.readouterr().out and (tmp_path / "both.png").is_file()


def test_an_evaluation_of_other_weights_is_made_again(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    data, out = tmp_path / "data", tmp_path / "out"
    phantoms.draw_phantoms(data, patients=12, size=64, truth="lungs")
    given = ["report", "lungs", "--dataset_dir", str(data), "--manifest", f"{data}/manifest.json", "--output", str(out)]
    given += ["--split", "validation"]
    assert main(given) == 0
    metrics = out / "validation" / "metrics.json"
    found = json.loads(metrics.read_text())
    others = found | {"evaluated": found["evaluated"] | {"weights": "0" * 64}, "images": 99}
    metrics.write_text(json.dumps(others))
    assert main(given) == 0
    assert json.loads(metrics.read_text()) == found


def test_overlays_of_the_evaluation_alone_change_what_is_measured(tmp_path):
    """A network that marks every pixel is right about none outside the lungs, where ``in_lungs`` keeps nothing."""
    data, weights, opacity = tmp_path / "data", tmp_path / "model.pt", ROOT / "bundles" / "opacity"
    phantoms.draw_phantoms(data, patients=12, size=64, truth="opacity")
    state = Bundle(opacity).read(["train"]).get_parsed_content("network_def").state_dict()
    state["head.bias"].fill_(100)
    torch.save(state, weights)
    given = ["evaluate", str(opacity), "--dataset_dir", str(data), "--manifest", f"{data}/manifest.json"]
    marked = []
    for overlays in ([], ["--evaluation", "in_lungs"]):
        out = tmp_path / "".join(overlays).strip("-")
        assert main([*given, "--weights", str(weights), "--output", str(out), "--split", "validation", *overlays]) == 0
        images = pd.read_csv(out / "validation" / "images.csv")
        marked.append(images["tp"] + images["fp"])
    assert (marked[0] == 64 * 64).all() and (marked[1] > 0).all() and (marked[1] < 0.9 * 64 * 64).all()


def test_what_calibrate_fits_goes_with_predictions_reports_and_packages(tmp_path, capsys):
    """Temperature and predicted Dice of a bundle's own model."""
    data, bundle, out = tmp_path / "data", tmp_path / "lungs", tmp_path / "out"
    phantoms.draw_phantoms(data, patients=37, size=64, truth="lungs")
    manifest = json.loads((data / "manifest.json").read_text())
    entries = [entry for split in ("training", "validation", "test") for entry in manifest[split]]
    for entry in entries[28:31]:  # of another convention, and drawn so that it would show
        entry["behind_heart"] = True
        shutil.copy(data / entries[0]["label"], data / entry["label"])
    manifest |= {"training": entries[:2], "validation": entries[2:31], "test": entries[31:]}
    (data / "manifest.json").write_text(json.dumps(manifest))
    shutil.copytree(ROOT / "bundles" / "lungs", bundle, ignore=shutil.ignore_patterns("cache", "phantoms", "eval"))
    about = bundle / "models" / "model.json"
    plain = {name: value for name, value in json.loads(about.read_text()).items() if name not in FITTED}
    about.write_text(json.dumps(plain))
    predict = ["predict", str(bundle), "--input", str(tmp_path / "in"), "--output", str(out)]
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(data / manifest["test"][name == "b.png"]["image"], tmp_path / "in" / name)
    assert main([*predict, "--calibrated"]) == 2
    assert "no temperature was fitted to these weights" in capsys.readouterr().err

    given = ["--dataset_dir", str(data), "--manifest", f"{data}/manifest.json", "--output", str(tmp_path / "eval")]
    weights = ["--weights", str(bundle / "models" / "model.pt")]
    assert main(["calibrate", str(bundle), *given, *weights]) == 0
    fitted = json.loads(about.read_text())
    assert {name: fitted[name] for name in plain} == plain and fitted["quality"]["cases"] == {
        "fitted": 13,
        "calibrated": 13,
    }
    left_out = "phantoms, validation; 3 left out, whose masks count in what lies behind the heart"
    assert fitted["calibrated_on"] == left_out and f"fitted on {left_out}" in capsys.readouterr().out
    assert main([*predict, "--no-overlays"]) == 0
    assert main([*predict, "--no-overlays", "--calibrated"]) == 0
    records = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    done = [record for record in records if record["status"] == "done"]
    assert [record["temperature"] for record in done] == [1.0, 1.0, fitted["temperature"], fitted["temperature"]]
    assert json.loads((out / "summary.json").read_text())["temperature"] == fitted["temperature"]
    for record in done:
        check = json.loads((out / f"{record['case'][0]}_check.json").read_text())
        assert check["quality"] == record["quality"] and record["quality"]["level"] == 0.9 and "frontal" in check
        assert record["quality"]["outside"] or record["quality"]["interval"][0] <= record["quality"]["predicted_dice"]

    assert main(["report", str(bundle), *given, "--split", "validation"]) == 0
    page = (tmp_path / "eval" / "validation" / "report.html").read_text()
    assert "Predicted and true Dice, in-sample" in page and "temperature and those of predicted Dice are in-s" in page
    assert json.loads((tmp_path / "eval" / "validation" / "report.json").read_text())["in_sample"] is True
    assert main(["report", str(bundle), *given]) == 0
    report = json.loads((tmp_path / "eval" / "test" / "report.json").read_text())
    assert (
        report["in_sample"] is False
        and report["predicted_dice"]["cases"] == 6
        and report["calibration"]["temperature"] == fitted["temperature"]
    )
    assert "Predicted and true Dice" in (tmp_path / "eval" / "test" / "report.html").read_text()
    assert main(["package", str(bundle), "--out", str(tmp_path / "lungs.zip")]) == 0
    with zipfile.ZipFile(tmp_path / "lungs.zip") as archive:
        assert json.loads(archive.read("lungs/models/model.json")) == fitted


def test_calibrate_names_the_file_that_lacks_the_features_of_masks(cohort, tmp_path, capsys):
    """As a bundle of an earlier version does."""
    data, bundle = tmp_path / "data", tmp_path / "lungs"
    phantoms.draw_phantoms(data, patients=12, size=64, truth="lungs")
    shutil.copytree(ROOT / "bundles" / "lungs", bundle, ignore=shutil.ignore_patterns("cache", "phantoms", "eval"))
    path = bundle / "configs" / "evaluate.json"
    content = json.loads(path.read_text())
    steps = content["validate#postprocessing"]["transforms"]
    content["validate#postprocessing"]["transforms"] = [step for step in steps if "MaskFeaturesd" not in str(step)]
    path.write_text(json.dumps(content))
    before = (bundle / "models" / "model.json").read_text()
    given = ["--dataset_dir", str(data), "--manifest", f"{data}/manifest.json", "--output", str(tmp_path / "eval")]
    assert main(["calibrate", str(bundle), *given]) == 1
    told = capsys.readouterr().err
    assert f"{path}: its evaluation gives no expected_dice, edge_entropy, area, symmetry of masks" in told
    assert "Add {" in told and "transforms.MaskFeaturesd" in told
    assert (bundle / "models" / "model.json").read_text() == before


@pytest.mark.parametrize(
    ("bundle", "change", "message"),
    [
        ("abdomen", {}, "gives labels, not probabilities, so there is nothing to calibrate"),
        ("lungs", {"validation": []}, "its validation list is empty"),
        ("lungs", {"weights": "gone.pt"}, "gone.pt: no such file"),
    ],
)
def test_what_cannot_be_calibrated_is_told(cohort, tmp_path, capsys, monkeypatch, bundle, change, message):
    monkeypatch.chdir(ROOT)
    manifest = json.loads((cohort / "manifest.json").read_text())
    weights = ["--weights", change.pop("weights")] if "weights" in change else []
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, **change}))
    given = ["--dataset_dir", str(cohort), "--manifest", str(tmp_path / "manifest.json")]
    assert main(["calibrate", bundle, *given, *weights]) == 1
    assert message in capsys.readouterr().err


def test_card_takes_the_folders_of_reports(call):
    given, settings = call("card lungs eval/test eval/validation", card, "fill_card")
    assert given == ["lungs", ["eval/test", "eval/validation"], []] and settings == {}
