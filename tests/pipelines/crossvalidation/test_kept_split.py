"""What an ensemble gains over its models: figures by hand, and whole evaluations of models that know nothing."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap

from pipelines import Model
from pipelines.crossvalidation.kept_split import compare_with_singles, evaluate_kept
from pipelines.evaluation.binary_metrics import AUC
from pipelines.evaluation.pixels import Pixels
from pipelines.evaluation.rsna_score import CHALLENGE
from tests.running import bundle_of, small, untrained_folds

BOX = [0, 0, 10, 10]


def write_evaluation(folder, dice, scores, found=None):
    """Of four images of three patients, the last of them a negative."""
    folder.mkdir(parents=True)
    counts = {"tp": [5, 5, 5, 0], "fp": 1, "fn": [1, 1, 1, 0], "tn": 9, "score": scores}
    table = pd.DataFrame({**counts, "dice": [*dice, np.nan], "iou": [0.5, 0.5, 0.5, np.nan], "patient": [0, 0, 1, 2]})
    table.rename_axis("case").to_csv(folder / "images.csv")
    (folder / "metrics.json").write_text(json.dumps({"evaluated": {"box_confidence": 0.5} if found else {}}))
    if found:
        truth = [[BOX], [BOX], [BOX], []]
        (folder / "boxes.json").write_text(json.dumps({"found": found, "truth": truth}))


def test_difference_is_to_the_mean_of_the_models_image_by_image(tmp_path):
    hit, unsure = [[0.9, BOX]], [[0.2, BOX]]
    write_evaluation(tmp_path / "e", [0.9, 0.8, 0.7], [0.9, 0.8, 0.7, 0.1], [hit, hit, hit, []])
    write_evaluation(tmp_path / "a", [0.8, 0.8, 0.5], [0.9, 0.8, 0.1, 0.2], [hit, hit, [], unsure])
    write_evaluation(tmp_path / "b", [0.6, 0.9, 0.6], [0.9, 0.1, 0.1, 0.2], [hit, unsure, [], hit])
    result = compare_with_singles(tmp_path / "e", [tmp_path / "a", tmp_path / "b"])
    assert (result["images"], result["positives"]) == (4, 3)
    dice = result["dice_by_image_over_positives"]
    assert dice["ensemble"]["mean"] == pytest.approx(0.8)
    assert [one["mean"] for one in dice["singles"]] == pytest.approx([0.7, 0.7])
    assert dice["mean_single"]["mean"] == pytest.approx(0.7)
    # the means of the models are 0.7, 0.85 and 0.55
    assert dice["difference"]["mean"] == pytest.approx(np.mean([0.2, -0.05, 0.15]))
    assert (dice["difference"]["cases"], dice["difference"]["patients"]) == (3, 2)
    drawn = bootstrap(  # patients, with both images of the first
        ([0.15, 0.15], [2, 1]),
        lambda sums, sizes, axis: sums.sum(axis=axis) / sizes.sum(axis=axis),
        paired=True,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert (dice["difference"]["low"], dice["difference"]["high"]) == pytest.approx(tuple(drawn), abs=1e-6)
    # the positives above the only negative: all three, two, one
    assert result[AUC]["ensemble"]["mean"] == 1
    assert [one["mean"] for one in result[AUC]["singles"]] == pytest.approx([2 / 3, 1 / 3])
    # a negative without a sure box does not count in the challenge's score, one with a box counts 0
    assert result[CHALLENGE]["ensemble"]["mean"] == 1 and result[CHALLENGE]["ensemble"]["cases"] == 3
    assert [one["mean"] for one in result[CHALLENGE]["singles"]] == pytest.approx([2 / 3, 1 / 4])


def test_tables_of_a_bundle_without_boxes_have_no_score_of_the_challenge(tmp_path):
    for name in "eab":
        write_evaluation(tmp_path / name, [0.9, 0.8, 0.7], [0.5] * 4)
    assert CHALLENGE not in compare_with_singles(tmp_path / "e", [tmp_path / "a", tmp_path / "b"])


@pytest.mark.slow
def test_ensemble_and_models_are_evaluated_once_for_the_same_weights(cohort, tmp_path):
    """Of the bundle of pneumonia, which finds boxes and averages its weights."""
    bundle, names = bundle_of("pneumonia"), ["train", "evaluate"]
    folds = untrained_folds("pneumonia", tmp_path / "cv", folds=2)
    models = [folds / f"fold_{number}" / "models" / "model.pt" for number in range(2)]
    settings = {
        "manifest": cohort / "manifest.json",
        "dataset_dir": cohort,
        "box_confidence": 0.1,
        **small(bundle.name),
    }
    result = evaluate_kept(bundle, tmp_path / "kept", models, names, settings)
    written = {name: tmp_path / "kept" / name / "test" for name in ("ensemble", "fold_0", "fold_1")}
    images = {name: pd.read_csv(folder / "images.csv") for name, folder in written.items()}
    manifest = json.loads((cohort / "manifest.json").read_text())
    assert result["images"] == len(manifest["test"]) == len(images["ensemble"])
    score = json.loads((written["ensemble"] / "metrics.json").read_text())[CHALLENGE]
    assert result[CHALLENGE]["ensemble"]["mean"] == pytest.approx(score)
    # what was evaluated is the mean: the greatest probability of an image is that of the ensemble for programs
    model = Model(bundle, ensemble=folds, **small(bundle.name))
    for entry, score in zip(manifest["test"], images["ensemble"]["score"], strict=True):
        assert model.predict(cohort / entry["image"]).probability.max() == pytest.approx(score, abs=2e-3)
    assert len(Pixels.load(written["ensemble"] / "pixels.npz").counts) == result["images"]

    marks = {name: (folder / "metrics.json").stat().st_mtime_ns for name, folder in written.items()}
    assert evaluate_kept(bundle, tmp_path / "kept", models, names, settings) == result
    assert {name: (folder / "metrics.json").stat().st_mtime_ns for name, folder in written.items()} == marks

    for suffix in (".pt", ".json"):
        shutil.copy(models[0].with_suffix(suffix), models[1].with_suffix(suffix))
    again = evaluate_kept(bundle, tmp_path / "kept", models, names, settings)
    anew = {name for name, folder in written.items() if (folder / "metrics.json").stat().st_mtime_ns != marks[name]}
    assert anew == {"ensemble", "fold_1"}
    dice = again["dice_by_image_over_positives"]
    assert dice["ensemble"]["mean"] == pytest.approx(dice["mean_single"]["mean"], abs=1e-3)
