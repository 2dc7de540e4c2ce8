"""Keys that are misspelt are refused, and whatever is of use is not."""

from __future__ import annotations

import json
import sys

import monai.bundle
import pytest

from tests.conftest import ROOT
from tests.running import BUNDLES, refused
from transforms import check_keys


@pytest.fixture(autouse=True)
def hook(monkeypatch):
    """What shows errors is put back after each test."""
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)


def run(bundle, files, folder, **settings):
    """Up to where a run would begin to compute: its own last step is replaced."""
    root = ROOT / "bundles" / bundle
    files = [str(root / "configs" / f"{name}.json") for name in files]
    initialize = [
        "$transforms.check_keys(@bundle_root + '/configs')"
        if files[-1].endswith("inference.json")
        else "$pipelines.start(@bundle_root, [@output_dir])"
    ]
    monai.bundle.run(
        run_id="run",
        config_file=files,
        logging_file=False,
        **{"bundle_root": str(root), "output_dir": str(folder), "initialize": initialize, "run": ["$1"], **settings},
    )


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize("files", [["train"], ["train", "evaluate"], ["train", "usual_way"], ["inference"]])
def test_what_the_bundle_has_is_taken(tmp_path, bundle, files):
    run(bundle, files, tmp_path)


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize(
    ("files", "key", "meant"),
    [
        (["train"], "epoch", "epochs"),
        (["train"], "devise", "device"),
        (["train"], "lerning_rate", "learning_rate"),
        (["train", "evaluate"], "treshold", "threshold"),
        (["inference"], "weigths", "weights"),
    ],
)
def test_misspelt_keys_are_refused_with_what_was_meant(tmp_path, bundle, files, key, meant):
    meant = "image_size" if bundle == "abdomen" and key == "treshold" else meant
    key = "image_sise" if meant == "image_size" else key
    with refused(f"{key}: the bundle has no such key, so its value would change nothing. Did you mean {meant}?"):
        run(bundle, files, tmp_path / "eval", **{key: 3})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [3, "x", True, {"a": 1}, [1, 2], []])
def test_keys_without_a_use_are_refused_whatever_their_value(tmp_path, value):
    with refused("surprise: the bundle has no such key"):
        run("lungs", ["train"], tmp_path, surprise=value)


def test_own_keys_with_a_use_are_taken(tmp_path):
    """One that another refers to; and what MONAI is told to run."""
    run("lungs", ["train"], tmp_path, half=4, epochs="$2 * @half")
    run("lungs", ["train"], tmp_path, mine=["$print(@epochs)"])
    run("lungs", ["train"], tmp_path, run_name=None, experiment_name="x")  # as MONAI's federated client adds
    run("lungs", ["train"], tmp_path, **{"reader#unknown_spacing": "pixels"})


def test_a_key_of_a_file_is_told_as_one_of_the_command(tmp_path):
    (tmp_path / "own.json").write_text(json.dumps({"epoch": 3}))
    root = ROOT / "bundles" / "lungs"
    with refused("epoch: the bundle has no such key"):
        monai.bundle.run(
            run_id="training",
            config_file=[str(root / "configs" / "train.json"), str(tmp_path / "own.json")],
            logging_file=False,
            bundle_root=str(root),
        )


def test_where_no_configuration_calls_there_is_nothing_to_check(tmp_path):
    check_keys(tmp_path)
