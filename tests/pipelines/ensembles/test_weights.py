"""Ensembles from a cross-validation's folder to what is written: the mean of the single predictions, or one message."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pydicom
import pytest

from networks import WeightsError
from pipelines import Model
from pipelines.ensembles.weights import ensemble_of
from pipelines.prediction.predict import predict, read_summary
from pipelines.provenance import weights_hash
from pipelines.resuming.saved_model import add_to_model
from tests.running import bundle_of, refused, small, untrained_folds
from transforms import DataError


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """Do not write into it."""
    return untrained_folds("opacity", tmp_path_factory.mktemp("ensemble") / "cv")


@pytest.fixture
def own_folds(folds, tmp_path):
    return shutil.copytree(folds, tmp_path / "cv")


@pytest.fixture(scope="module")
def images(tmp_path_factory, cohort):
    folder = tmp_path_factory.mktemp("images")
    for path in sorted((cohort / "stage_2_train_images").iterdir())[:2]:
        shutil.copy(path, folder / path.name)
    return folder


def run(images, out, bundle="opacity", **settings):
    settings = {"format": "seg", "fractional": True, "pictures": False, "workers": 1, **small(bundle), **settings}
    code = predict(bundle_of(bundle), dataset_dir=images, output_dir=out, **settings)
    return code, read_summary(out)


def model_of(folds, number):
    return folds / f"fold_{number}" / "models" / "model.pt"


def test_what_is_written_is_the_mean_of_what_the_single_models_write(folds, images, tmp_path):
    code, said = run(images, tmp_path / "ensemble", ensemble=folds)
    assert code == 0 and len(said["done"]) == 2
    assert [(one["file"], one["sha256"]) for one in said["weights"]["files"]] == [
        (str(model_of(folds, number)), weights_hash(model_of(folds, number))) for number in range(3)
    ]
    for number in range(3):
        assert run(images, tmp_path / str(number), weights=str(model_of(folds, number)))[0] == 0
    written = sorted((tmp_path / "ensemble").rglob("*_seg.dcm"))
    assert len(written) == 2
    models = [Model(bundle_of("opacity"), weights=model_of(folds, n), **small("opacity")) for n in range(3)]
    ensemble = Model(bundle_of("opacity"), ensemble=folds, **small("opacity"))
    for path in written:
        name = path.relative_to(tmp_path / "ensemble")
        together, *singles = (pydicom.dcmread(tmp_path / run / name) for run in ("ensemble", "0", "1", "2"))
        steps = np.stack([one.pixel_array.astype(float) for one in singles])  # of 255 to a probability of 1
        assert np.abs(together.pixel_array - steps.mean(axis=0)).max() <= 1 and np.ptp(steps, axis=0).max() > 8
        assert "of 3 models" in str(together) and "of 3 models" not in str(singles[0])
        image = images / name.name.replace("_seg", "")
        each = [model.predict(image).probability for model in models]
        np.testing.assert_allclose(ensemble.predict(image).probability, np.mean(each, axis=0), atol=1e-5)


def test_a_run_goes_on_and_begins_anew_where_a_fold_has_other_weights(own_folds, images, tmp_path):
    plain = {"format": "png", "fractional": False}  # DICOM's writer would know the weights by itself
    assert run(images, tmp_path / "out", ensemble=own_folds, **plain)[1]["done_before"] == 0
    moved = own_folds.rename(tmp_path / "moved")
    assert run(images, tmp_path / "out", ensemble=moved, **plain)[1]["done_before"] == 2

    first, second = model_of(moved, 0), model_of(moved, 1)
    shutil.copy(second, first)
    with refused("is damaged, or not the file that model.json describes"):
        run(images, tmp_path / "out", ensemble=moved, **plain)
    shutil.copy(second.with_suffix(".json"), first.with_suffix(".json"))
    code, said = run(images, tmp_path / "out", ensemble=moved, **plain)
    assert (code, said["done_before"]) == (0, 0)


def test_what_was_fitted_to_single_models_is_left_out_and_named(images, tmp_path, capsys):
    """Of ``lungs``, which has all that there is: a classifier that would call each image another."""
    own_folds = untrained_folds("lungs", tmp_path / "cv", folds=2)
    path = model_of(own_folds, 1)
    classifier = {"weights": [0.0] * 16, "bias": -9.0, "threshold": 0.5}
    add_to_model(path, weights_hash(path), {"temperature": 2.0, "classifier": classifier, "calibrated_on": "x"})
    code, said = run(images, tmp_path / "out", "lungs", ensemble=own_folds)
    assert code == 0 and said["weights"]["left_out"] == ["classifier", "temperature"] and said["temperature"] == 1
    assert "not used by their ensemble: classifier, temperature" in capsys.readouterr().out
    checks = [json.loads(path.read_text()) for path in (tmp_path / "out").rglob("*_check.json")]
    assert len(checks) == 2 and not any("quality" in check or "probability" in str(check) for check in checks)


@pytest.mark.parametrize("given", [{"calibrated": True}, {"weights": "model.pt"}])
def test_what_does_not_go_with_an_ensemble(folds, images, tmp_path, given):
    (name,) = given
    with pytest.raises(DataError, match=f"--{name} does not go with an ensemble"):
        run(images, tmp_path / "out", ensemble=folds, **given)


def test_folders_that_are_no_cross_validation_of_the_bundle(own_folds, tmp_path):
    (tmp_path / "other").mkdir()
    for folder in (tmp_path / "other", tmp_path / "gone"):
        with pytest.raises(DataError, match=r"is not the output folder of a cross-validation that has come to its end"):
            ensemble_of(bundle_of("opacity"), folder)
    with pytest.raises(DataError, match=r"cv: is a cross-validation of opacity, not of lungs"):
        ensemble_of(bundle_of("lungs"), own_folds)
    with pytest.raises(DataError, match="abdomen: gives labels of several classes and cannot be cross-validated"):
        ensemble_of(bundle_of("abdomen"), own_folds)
    model_of(own_folds, 2).unlink()
    with pytest.raises(WeightsError, match=r"fold_2.models.model\.pt: no such file. An ensemble needs the model of"):
        ensemble_of(bundle_of("opacity"), own_folds)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 64}, "was trained with image_size 32, and 64 is configured: give --image_size 32"),
        ({"network_def#network#channels": [8, 8]}, "the weights are those of another network"),
    ],
)
def test_models_that_were_trained_otherwise_are_refused(folds, images, tmp_path, settings, message):
    with refused(message):
        run(images, tmp_path / "out", ensemble=folds, **settings)


def test_a_fold_of_other_percentiles_is_refused(own_folds, images, tmp_path):
    beside = model_of(own_folds, 2).with_suffix(".json")
    about = json.loads(beside.read_text())
    beside.write_text(json.dumps(about | {"settings": {"image_size": 32, "percentiles": [0, 100]}}))
    with refused("was trained with percentiles [0, 100]") as told:
        run(images, tmp_path / "out", ensemble=own_folds)
    assert str(model_of(own_folds, 2)) in told.text
