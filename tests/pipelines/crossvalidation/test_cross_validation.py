"""Cross-validation: whole runs on tiny phantoms, and its interval against SciPy's."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from pipelines import Model, draw_phantoms
from pipelines.bundle import Bundle
from pipelines.crossvalidation.cross_validation import cross_validate
from pipelines.evaluation.pixels import Pixels
from pipelines.evaluation.rsna_score import CHALLENGE, image_average_precision
from pipelines.manifests.manifest import images_of, read_manifest
from pipelines.resuming.sample import sample_of
from pipelines.schemas import read_described
from tests.conftest import ROOT
from transforms import DataError

SMALL = {"image_size": 32, "epochs": 1, "network_def#network#channels": [4, 8], "network_def#network#strides": [2]}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return draw_phantoms(tmp_path_factory.mktemp("cv") / "phantoms", patients=12, size=64, truth="opacity")


@pytest.mark.slow
def test_each_image_is_tested_once_and_patients_stay_apart(phantoms, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    arguments = (Bundle("bundles/opacity"), f"{phantoms}/manifest.json", phantoms)
    settings = {"folds": 2, "seed": 3, "cache_dir": tmp_path / "cache", **SMALL}
    result = cross_validate(*arguments, tmp_path / "a", **settings)
    assert result["images"] == result["positives"] == 12
    images = pd.read_csv(tmp_path / "a" / "images.csv")
    assert images["patient"].nunique() == 12
    assert result["dice_by_image_over_positives"]["mean"] == pytest.approx(images["dice"].mean())
    check_pooled_report(tmp_path / "a", images)
    tested = []
    for fold in range(2):
        manifest = json.loads((tmp_path / "a" / f"fold_{fold}.json").read_text())
        people = [{entry["patient_id"] for entry in manifest[s]} for s in ("training", "validation", "test")]
        assert sum(map(len, people)) == len(set.union(*people)) == 12 and all(people)
        tested += people[2]
    assert len(set(tested)) == 12

    report, metrics = (read_described(tmp_path / "a" / f"{kind}.json", kind, "") for kind in ("report", "metrics"))
    assert [(fold["value"], fold["mean"]) for fold in report["folds"]] == [
        (str(number), pytest.approx(table["dice"].mean())) for number, table in images.groupby("fold")
    ]
    overrides = metrics["evaluated"]["settings"]["overrides"]
    assert overrides == {key: value for key, value in SMALL.items() if key != "epochs"}
    assert "--override image_size 32" in report["command"] and "image_size 32" in report["split"]

    # given once more, nothing is trained anew; other settings of the evaluation take the models that are there
    model = tmp_path / "a" / "fold_0" / "models" / "model.pt"
    written = model.stat().st_mtime_ns
    again = cross_validate(*arguments, tmp_path / "a", **settings)
    assert again == result and model.stat().st_mtime_ns == written
    (tmp_path / "a" / "fold_0" / "test" / "metrics.json").unlink()  # as if it had been stopped after its training
    again = cross_validate(*arguments, tmp_path / "a", **settings)
    assert again == result and model.stat().st_mtime_ns == written
    salted_anew = json.loads((Path(phantoms) / "manifest.json").read_text())
    for entry in (entry for split in ("training", "validation", "test") for entry in salted_anew[split]):
        entry["patient_id"] = hashlib.sha256(entry["patient_id"].encode()).hexdigest()
    (tmp_path / "salted_anew.json").write_text(json.dumps(salted_anew))
    again = cross_validate(
        Bundle("bundles/opacity"), tmp_path / "salted_anew.json", phantoms, tmp_path / "a", **settings
    )
    assert again == result and model.stat().st_mtime_ns == written
    other = cross_validate(
        *arguments, tmp_path / "b", trained=tmp_path / "a", against=tmp_path / "a", threshold=0.9, **settings
    )
    difference = pd.read_csv(tmp_path / "b" / "images.csv")["dice"] - images["dice"]
    assert other["dice_difference_by_image_over_positives"]["mean"] == pytest.approx(difference.mean())
    assert not (tmp_path / "b" / "fold_0" / "models").exists()

    # results of other settings are never taken for these, nor models of other folds
    with pytest.raises(DataError, match=r"holds a cross-validation with other settings \(threshold\)"):
        cross_validate(*arguments, tmp_path / "a", threshold=0.9, **settings)
    with pytest.raises(DataError, match="fold_0.json: is another fold"):
        cross_validate(*arguments, tmp_path / "c", trained=tmp_path / "a", **settings | {"seed": 4})


@pytest.mark.slow
def test_the_ensemble_is_measured_on_a_test_split_that_no_fold_has(phantoms, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    bundle, manifest = Bundle("bundles/opacity"), json.loads((Path(phantoms) / "manifest.json").read_text())
    settings = {"folds": 2, "keep_test": True, "cache_dir": tmp_path / "cache", **SMALL}
    result = cross_validate(bundle, f"{phantoms}/manifest.json", phantoms, tmp_path / "cv", **settings)
    kept = len(manifest["test"])
    assert (result["images"], result["ensemble"]["images"]) == (12 - kept, kept)
    assert json.loads((tmp_path / "cv" / "cross_validation.json").read_text()) == result
    dice = result["ensemble"]["dice_by_image_over_positives"]
    images = pd.read_csv(tmp_path / "cv" / "kept_test" / "ensemble" / "test" / "images.csv")
    assert dice["ensemble"]["mean"] == pytest.approx(images["dice"].mean()) and len(dice["singles"]) == 2
    report = read_described(tmp_path / "cv" / "report.json", "report", "")
    of_ensemble = read_described(tmp_path / "cv" / "kept_test" / "ensemble" / "test" / "report.json", "report", "")
    assert (of_ensemble["ensemble"], of_ensemble["cases"], of_ensemble["trained_on"]) == (2, kept, "phantoms")
    assert of_ensemble["weights"].endswith(" of 2 models") and of_ensemble["means_by_case"]["dice"] == dice["ensemble"]
    assert "--keep_test" in report["command"] and "of the patients of training and validation of a" in report["split"]

    small = {key: value for key, value in SMALL.items() if key != "epochs"}
    model = Model(bundle, ensemble=tmp_path / "cv", **small)
    scores = [model.predict(Path(phantoms) / e["image"]).probability.max() for e in manifest["test"]]
    assert sorted(scores) == pytest.approx(sorted(images["score"]), abs=2e-3)


def check_pooled_report(folder, images):
    """One page, and one set of metrics, over all that were held out."""
    report, metrics = (read_described(folder / f"{kind}.json", kind, "") for kind in ("report", "metrics"))
    assert report["means_by_case"]["dice"]["mean"] == pytest.approx(images["dice"].mean())
    assert (report["cases"], report["patients"], metrics["images"]) == (12, 12, 12)
    assert metrics["dice_by_image_over_positives"] == pytest.approx(images["dice"].mean())
    assert metrics["evaluated"]["split"] == "cross-validation" and metrics["evaluated"]["settings"]["folds"] == 2
    assert "crossvalidate opacity --dataset_dir DATA" in report["command"] and "--folds 2 --seed 3" in report["command"]
    assert str(folder.parent) not in report["command"] + json.dumps(metrics)
    assert sum(group["cases"] for group in report["groups"] if group["by"] == "size of the truth") in (0, 12)
    pixels = [
        Pixels.load(path / "pixels.npz").counts for path in (folder / "fold_0/test", folder / "fold_1/test", folder)
    ]
    assert len(pixels[2]) == 12 and (pixels[2][: len(pixels[0])] == pixels[0]).all()
    page = (folder / "report.html").read_text()
    assert page.count('id="case-') == 12 and "row in the table of all folds" in page
    ranked = images["dice"].sort_values(kind="stable")
    for title, cases in (("worst", ranked[:3]), ("best", ranked[::-1][:3])):
        numbers = ", ".join(f"case {number}: {value:.2f}" for number, value in cases.items())
        assert f"The {title} cases by dice, a row each: image, truth, prediction and both outlines. {numbers}." in page
    assert "The median by dice" in page


def test_bundle_whose_evaluation_has_no_table_of_images(tmp_path):
    with pytest.raises(DataError, match="abdomen: its evaluation has no table of images"):
        cross_validate(Bundle(ROOT / "bundles" / "abdomen"), "m.json", tmp_path, tmp_path)


def test_folds_that_start_from_a_model_which_knows_what_they_test(phantoms, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    manifest = read_manifest(f"{phantoms}/manifest.json")
    (tmp_path / "model.json").write_text(
        json.dumps({"trained_images": sample_of(images_of(manifest["validation"], phantoms))})
    )
    arguments = (Bundle("bundles/opacity"), f"{phantoms}/manifest.json", phantoms, tmp_path / "cv")
    settings = {"folds": 2, "overlays": ["finetune"], "weights": tmp_path / "model.pt"}
    with pytest.raises(DataError, match=r"model.pt: has learnt from [1-9]\d* images of the manifest, in a sample of"):
        cross_validate(*arguments, **settings, **SMALL)
    assert not (tmp_path / "cv" / "fold_0").exists()


def test_what_cannot_be_is_refused_before_there_is_anything_of_it(phantoms, tmp_path):
    for settings, message in (
        ({"threshold": 50}, "threshold is 50: give a number above 0 and below 1"),
        ({"epoch": 3}, "epoch: the bundle has no such key"),
    ):
        with pytest.raises(DataError, match=message):
            cross_validate(
                Bundle(ROOT / "bundles" / "opacity"),
                f"{phantoms}/manifest.json",
                phantoms,
                tmp_path / "cv",
                folds=2,
                **settings,
            )
    assert not list((tmp_path / "cv").glob("*"))


def test_too_few_patients(phantoms, tmp_path):
    with pytest.raises(DataError, match="6 folds need at least 2 and three patients each; the manifest has 12"):
        cross_validate(Bundle(ROOT / "bundles" / "opacity"), f"{phantoms}/manifest.json", phantoms, tmp_path, folds=6)


@pytest.mark.slow
def test_boxes_of_all_folds_have_the_challenge_s_score(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    drawn = draw_phantoms(tmp_path / "phantoms", patients=40, size=64, truth="boxes")
    settings = {"folds": 2, "cache_dir": tmp_path / "cache", "lungs_weights": "", "box_confidence": 0.5, **SMALL}
    cross_validate(Bundle("bundles/pneumonia"), f"{drawn}/manifest.json", drawn, tmp_path / "cv", **settings)
    boxes = json.loads((tmp_path / "cv" / "boxes.json").read_text())
    pairs = zip(boxes["found"], boxes["truth"], strict=True)
    scores = [image_average_precision([box for box in found if box[0] >= 0.5], true) for found, true in pairs]
    score = pd.Series(scores, dtype=float).mean()
    report, metrics = (read_described(tmp_path / "cv" / f"{kind}.json", kind, "") for kind in ("report", "metrics"))
    assert len(scores) == 40 and metrics[CHALLENGE] == pytest.approx(score)
    assert report["intervals"][CHALLENGE]["mean"] == pytest.approx(score)
    assert metrics["evaluated"]["box_confidence"] == 0.5
    assert "VALUE" not in report["command"] and "phantoms" not in report["command"]
