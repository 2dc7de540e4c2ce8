"""Keys that are misspelt and values that cannot be are refused, and whatever is of use is not."""

from __future__ import annotations

import json
import re
import sys

import monai.bundle
import numpy as np
import pytest
from monai.bundle import ConfigParser

from pipelines import Model
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


NAN, INF = float("nan"), float("inf")
NO_COUNT = [0, -1, 2.5, True, "x", "8", NAN, [3]]
NO_SHARE = [0, 1, -0.5, 50, NAN, INF, True, "x", [0.5]]
NOT_ABOVE_0 = [0, -1, NAN, INF, True, "x", [1]]
NO_CHOICE = [0, 1, "no", "x"]
IMPOSSIBLE = {
    **dict.fromkeys(("epochs", "val_interval", "batch_size", "accumulation_steps"), NO_COUNT),
    **dict.fromkeys(("image_size", "overlay_size"), NO_COUNT),
    **{key: [-1, 0.5, True, "x"] for key in ("num_workers", "seed")},
    "patience": [0, -3, 2.5, True, "x"],
    **dict.fromkeys(("learning_rate", "temperature"), NOT_ABOVE_0),
    **dict.fromkeys(("threshold", "share_of_peak"), NO_SHARE),
    "box_confidence": [-0.1, 1.1, 62, NAN, True, "x"],
    "percentiles": [[99, 1], [1, 1], [0.5], [-5, 100], [0, 105], [0, 50, 100], ["a", "b"], 50, "x"],
    "window": [[240, -160], [0], [0, NAN], 5, "x"],
    **dict.fromkeys(("strict", "compile", "pin_memory", "force_weights", "is_not_rank0"), NO_CHOICE),
}
NO_VALUES = ("resume", "mlflow", "encoder_weights", "classes", "probability_key")  # whoever takes these checks them


def plain_values(bundle, file):
    given = json.loads((ROOT / "bundles" / bundle / "configs" / f"{file}.json").read_text())
    return {key for key, value in given.items() if not isinstance(value, (str, dict)) and "#" not in key} - {
        *("imports", "initialize", "run", "training", "handlers", "loading", "augmentation"),
        *NO_VALUES,
    }


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize("file", ["train", "inference"])
def test_values_that_cannot_be_are_refused_whatever_the_key(tmp_path, bundle, file):
    keys = plain_values(bundle, file)
    assert keys and keys <= set(IMPOSSIBLE)  # a new key says what it may be
    for key in keys:
        for value in IMPOSSIBLE[key]:
            with refused(f"{key} is {value!r}: give "):
                run(bundle, [file], tmp_path / "eval", **{key: value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 1, "val_interval": 1, "batch_size": 1, "image_size": 32, "num_workers": 0, "seed": 0, "patience": 1},
        {"learning_rate": 1e-9, "threshold": 1e-3, "percentiles": [0, 100], "strict": True, "patience": None},
        {"epochs": "$2 + 3", "batch_size": "@epochs", "percentiles": (1, 99.5)},
        {"percentiles": ["$0.5", 99.5], "epochs": np.int64(4), "threshold": np.float32(0.5), "strict": np.True_},
    ],
)
def test_values_that_can_be_are_taken(tmp_path, settings):
    run("lungs", ["train"], tmp_path, **settings)


def test_a_training_that_keeps_no_model_says_so_before_it_begins(tmp_path, caplog):
    """It is not refused: a client of a federation validates by itself, and is told elsewhere how long it trains."""
    run("pneumonia", ["train"], tmp_path, epochs=20, val_interval=20)
    run("pneumonia", ["train"], tmp_path, val_interval=21, **{"train#trainer#max_epochs": 100})
    assert "no model is kept" not in caplog.text
    run("pneumonia", ["train"], tmp_path, epochs=20, val_interval=21)
    assert "val_interval is 21 and epochs is 20: so few epochs are not validated" in caplog.text


def test_what_may_be_left_open():
    parser = ConfigParser({"overlay_size": None, "patience": None})
    check_keys(ROOT / "bundles" / "lungs" / "configs", parser=parser)
    with refused("epochs is None: give a whole number from 1 on"):
        check_keys(ROOT / "bundles" / "lungs" / "configs", parser=ConfigParser({"epochs": None}))


@pytest.mark.parametrize("device", ["nope", "cuda:99"])
def test_a_training_is_refused_a_device_that_is_not_there(tmp_path, device):
    with refused(f"device is '{device}' and cannot be used: "):
        run("lungs", ["train"], tmp_path / "eval", device=device)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("threshold", 1.5, "threshold is 1.5: give a number above 0 and below 1"),
        ("box_confidence", 62, "box_confidence is 62: give a number from 0 to 1"),
        ("share_of_peak", 60, "share_of_peak is 60: give a number above 0 and below 1"),
        ("device", "nope", "device is 'nope' and cannot be used: Expected one of cpu, cuda"),
        ("precision", "half", "precision is 'half': give one of auto, float32, bfloat16, float16"),
        ("reader#unknown_spacing", "guess", "unknown_spacing is 'guess': give 'refuse' or 'pixels'"),
    ],
)
def test_a_program_gets_the_plain_error(key, value, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Model("pneumonia", **{key: value})


def test_where_no_configuration_calls_there_is_nothing_to_check(tmp_path):
    check_keys(tmp_path)
