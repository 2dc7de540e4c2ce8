"""What all bundles share: their files, the keys and values of their configurations, and what may differ."""

from __future__ import annotations

import ast
import json
import re

import pytest
import torch
from ignite.engine import Engine
from monai.bundle import ConfigParser, ConfigWorkflow

from tests.conftest import ROOT
from tests.running import BUNDLES, bundle_of

REFERENCE = "opacity"
SHARED = ("train", "evaluate", "inference", "multi_gpu_train", "elastic", "usual_way", "metadata")

# In what a bundle's configurations may differ from those of the reference: keys, to their second level. All else is
# equal, so that a change in one bundle alone is a decision that is written down here.
ITS_OWN = {"bundle_root", "task", "dataset_dir", "reader#unknown_spacing", "network_def#network", "loss"}
ITS_OWN |= {"phantoms#truth", "train#random_transforms", "batch_size", "global_batch_size", "learning_rate", "epochs"}
METRICS = {
    f"{part}#{kind}_metric{s}" for part in ("train", "validate") for kind, s in (("key", ""), ("additional", "s"))
}
ABOUT = {"name", "task", "description", "data_source", "data_type", "image_classes", "label_classes", "pred_classes"}
ABOUT |= {
    "references",
    "outputs",
    "dicom_segments",
    "eval_metrics",
    "network_data_format#inputs",
    "network_data_format#outputs",
}
ABOUT |= {"required_packages_version"}
AVERAGED = {"averaging", "averaged", "augmentation", "train#trainer", "validate#evaluator", "validate#dataset"}
TESTED_EACH_EPOCH = {"test", "train#logged", "train#handlers", "training"}
VOLUMES = {
    "reader",
    "mask_reader",
    "percentiles",
    "threshold",
    "channels",
    "window",
    "classes",
    "image_size",
    "settings",
}
MAY_DIFFER = {
    "pneumonia": {
        "train": {
            "averaging",
            "averaged",
            "box_confidence",
            "lungs_weights",
            "shipped_lungs",
            "force_weights",
            "initialize",
            "share_of_peak",
        }
        | {"train#trainer", "train#handlers", "validate#evaluator"},
        "evaluate": {"averaging", "initialize", "outline", "validate#handlers", "validate#postprocessing"},
        "inference": {"box_confidence", "outline", "postprocessing", "share_of_peak"},
        "multi_gpu_train": {"train#trainer"},
        "usual_way": {"averaged", "lungs_weights"},
    },
    "lungs": {
        "train": AVERAGED | TESTED_EACH_EPOCH | {"train#fitting"},
        "evaluate": {"initialize", "validate#handlers", "averaging"},
        "inference": {"classifier", "postprocessing"},
        "multi_gpu_train": {"test#sampler", "test#dataloader", "train#trainer"},
        "usual_way": {"averaged"},
    },
    "abdomen": {
        "train": VOLUMES
        | {"phantoms", "initialize", "loading", "lr_scheduler", "encoder_weights"}
        | {"train#dataset", "train#fitting", "train#handlers", "validate#dataset"}
        | {"train#preprocessing", "train#trainer#prepare_batch", "validate#evaluator#prepare_batch"},  # not by batch
        "evaluate": {"probabilities", "validate#fitting", "validate#handlers", "validate#inferer"}
        | {"validate#postprocessing", "validate#dataloader"},
        "inference": VOLUMES
        | {
            "probability_key",
            "temperature",
            "threshold_before_temperature",
            "quality",
            "bottom",
            "checks",
            "outputs",
            "batch_size",
            "inferer",
            "masks",
            "overlays",
            "postprocessing",
            "preprocessing",
            "probabilities",
        },
    },
}


def configuration(bundle, name):
    return json.loads((ROOT / "bundles" / bundle / "configs" / f"{name}.json").read_text())


def overlays(bundle):
    return sorted(path.stem for path in (ROOT / "bundles" / bundle / "configs").glob("*.json"))


def flat(value, key=""):
    """All values, each with its whole key."""
    if isinstance(value, dict | list):
        for part, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(inner, f"{key}#{part}" if key else str(part))
        if not value:
            yield key, "empty"
    else:
        yield key, value


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("bundle", [name for name in BUNDLES if name != REFERENCE])
def test_bundles_are_equal_but_for_what_is_listed(bundle, name):
    first, own = (dict(flat(configuration(root, name))) for root in (REFERENCE, bundle))
    different = {key for key in first.keys() | own.keys() if first.get(key, ...) != own.get(key, ...)}
    allowed = ITS_OWN | METRICS | MAY_DIFFER.get(bundle, {}).get(name, set())
    allowed |= {"train": {"validate#postprocessing"}, "metadata": ABOUT}.get(name, set())
    unlisted = {key for key in different if not any(f"{key}#".startswith(f"{part}#") for part in allowed)}
    assert not unlisted, f"{bundle}/{name}.json differs from that of {REFERENCE}"


@pytest.mark.parametrize("bundle", BUNDLES)
def test_images_are_fitted_alike_wherever_they_are_used(bundle):
    """The network, its settings and the preprocessing, in training, evaluation and inference."""
    train, evaluate, inference = (configuration(bundle, name) for name in ("train", "evaluate", "inference"))
    assert train["network_def"]["network"] == inference["network_def"]["network"]
    assert train["reader"] == inference["reader"] and train["settings"] == inference["settings"]
    for key in train["settings"]:
        assert train["settings"][key] == f"@{key}" and train[key] == inference[key], key
    steps = [train["train"]["fitting"], evaluate["validate#fitting"], inference["preprocessing"]["transforms"]]
    images = [[_of_images(step) for step in part if _of_images(step)] for part in steps]
    assert images[0] == images[1] == images[2] != []


def _of_images(transform):
    """What a transform does to the image, or nothing if it only loads, copies or changes the truth."""
    keys = transform.get("keys", [])
    keys = [keys] if isinstance(keys, str) else keys
    if "image" not in keys or transform["_target_"] in ("LoadImaged", "CopyItemsd"):
        return None
    modes = transform.get("mode")
    mode = modes[keys.index("image")] if isinstance(modes, list) else modes
    return {**transform, "keys": "image"} | ({"mode": mode} if mode else {})


@pytest.mark.parametrize("bundle", BUNDLES)
def test_weights_are_checked_against_all_settings_that_they_need(bundle):
    for name in ("evaluate", "inference"):
        assert any(
            "load_weights" in step and "**@settings" in step for step in configuration(bundle, name)["initialize"]
        )
    handlers = {handler["_target_"]: handler for handler in configuration(bundle, "train")["train"]["handlers"]}
    assert handlers["pipelines.TrainingState"]["settings"] == "@settings"


@pytest.mark.parametrize("bundle", BUNDLES)
def test_every_network_is_one_that_checks_its_output(bundle):
    """``networks.prepare`` does, wherever a network predicts; and whether weights may be forced is said by a key."""
    for name in overlays(bundle):
        for key, value in configuration(bundle, name).items():
            if key.endswith(("network_def", "lungs_network")):
                assert value["_target_"] == "networks.prepare", f"{name}.json: {key}"
            for step in value if key.endswith("initialize") else ():
                assert "networks.load_" not in step or "imagenet" in step or ", @force_weights" in step, step


def test_predictions_within_the_lungs_use_the_network_that_lungs_ships():
    overlay, lungs = configuration("opacity", "in_lungs"), configuration("lungs", "inference")
    assert overlay["lungs_network"] == lungs["network_def"]
    assert overlay["lungs_image_size"] == lungs["image_size"]


@pytest.mark.parametrize("bundle", ["opacity", "pneumonia"])
def test_the_best_model_is_not_the_one_that_marks_healthy_patients(bundle):
    """Of two images of 16 pixels, one with 4 marked by the truth, and one of a healthy patient."""
    truth = torch.zeros(2, 1, 4, 4)
    truth[0, :, 0] = 1
    misses_one = truth.clone()
    misses_one[0, :, 0, 0] = 0
    marks_all = truth.clone()
    marks_all[1] = 1
    values = {}
    for name, marked in (("misses one pixel", misses_one), ("marks the healthy", marks_all)):
        (metric,) = bundle_of(bundle).read(["train"]).get_parsed_content("validate#key_metric").values()
        engine = Engine(lambda _, pair: [{"pred": pair[0], "label": pair[1]}])
        metric.attach(engine, name)
        values[name] = engine.run(list(zip(marked, truth, strict=True))).metrics[name]
    assert values == pytest.approx({"misses one pixel": 2 * 3 / (3 + 4), "marks the healthy": 2 * 4 / (20 + 4)})


@pytest.mark.parametrize("bundle", BUNDLES)
def test_classes_are_named_alike(bundle):
    found = bundle_of(bundle)
    assert [segment["label"] for segment in found.segments] == found.classes[1:] or len(found.classes) == 2
    assert found.classes == configuration(bundle, "train").get("classes", found.classes)
    channels = found.metadata["network_data_format"]["outputs"]["pred"]["num_channels"]
    assert channels == (1 if len(found.classes) == 2 else len(found.classes))
    for described in ("label_classes", "pred_classes"):
        assert len(found.classes) == 2 or all(name in found.metadata[described] for name in found.classes)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_configs_have_the_keys_that_monai_and_its_label_server_read(bundle):
    for kind, name in (("train", "train"), ("infer", "inference")):
        (path,) = bundle_of(bundle).files([name])
        workflow = ConfigWorkflow(path, workflow_type=kind, logging_file=False, initialize=[])
        workflow.initialize()
        workflow.parser["dataset_dir"] = "elsewhere"
        missing = {key for key, p in workflow.properties.items() if p.get("required") and not _has(workflow, p)}
        assert not missing


def _has(workflow, prop):
    return prop["id"] in workflow.parser or prop["id"].startswith("_meta_")


@pytest.mark.parametrize("bundle", BUNDLES)
def test_files_of_all_bundles_are_the_same(bundle):
    root = ROOT / "bundles" / bundle
    for name in ("LICENSE", "docs/README.md", "docs/data_license.txt", "configs/logging.conf", "models/.gitkeep"):
        assert (root / name).is_file(), name
    headings = [line for line in (root / "docs" / "README.md").read_text().splitlines() if line.startswith("## ")]
    wanted = ["Overview", "Data", "Training", "Performance", "Commands", "References", "License"]
    assert headings == [f"## {heading}" for heading in wanted]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_numbers_of_a_training_are_read_whatever_the_overlay(bundle):
    """``--learning_rate 0.001`` must not be taken and change nothing."""
    folder = ROOT / "bundles" / bundle / "configs"
    apart = {"inference.json", "metadata.json", "submission.json"}  # none of a training
    overlays = [path for path in sorted(folder.glob("*.json")) if path.name not in {"train.json", *apart}]
    train = json.loads((folder / "train.json").read_text())
    numbers = {key for key, value in train.items() if type(value) in (int, float)} - {"box_confidence", "share_of_peak"}
    assert {"epochs", "learning_rate"} <= numbers and overlays
    for overlay in overlays:
        parser = ConfigParser()
        parser.read_config([str(folder / "train.json"), str(overlay)])
        unread = {key for key in numbers if not re.search(rf"@{key}\b", repr(parser.get()))}
        assert not unread, overlay.name


@pytest.mark.parametrize("bundle", BUNDLES)
def test_no_logic_hides_in_configuration(bundle):
    """An expression names things and calls them; it decides or computes at most once, and keeps no numbers."""
    for name in overlays(bundle):
        if name != "metadata":
            text = (ROOT / "bundles" / bundle / "configs" / f"{name}.json").read_text()
            assert all(len(line) <= 120 for line in text.splitlines()), name
        for key, value in flat(configuration(bundle, name)):
            if isinstance(value, str) and value.startswith("$"):
                assert operations(value) <= 1, f"{name}.json: {key}: {value}"


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        ("$@bundle_root + '/models'", 0),
        ("$@train#trainer#max_epochs * len(@train#dataloader)", 1),
        ("$torch.device('cuda' if torch.cuda.is_available() else 'cpu')", 1),
        ("$1 / max(10, 0.022 * @epochs)", 2),
        ("$[x for x in @list if x]", 2),
        ("$(lambda: 1)()", 2),
    ],
)
def test_logic_in_an_expression_is_counted(expression, count):
    assert operations(expression) == count


def operations(expression):
    """How often it computes or decides. Joining texts and lists with + does not count; loops and functions do twice."""
    source = re.sub(r"@[\w#]+", "name", expression[1:])
    if source.startswith("import "):
        return 0
    once = (ast.BinOp, ast.IfExp, ast.BoolOp, ast.Compare)
    twice = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.NamedExpr)
    nodes = list(ast.walk(ast.parse(source, mode="eval")))
    joined = sum(isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) for node in nodes)
    tests = sum(isinstance(node, ast.IfExp) and isinstance(node.test, ast.Compare) for node in nodes)  # one decision
    return sum(isinstance(n, once) for n in nodes) + 2 * sum(isinstance(n, twice) for n in nodes) - joined - tests


@pytest.mark.parametrize("bundle", BUNDLES)
def test_metadata_say_what_shipped_weights_learnt_from(bundle):
    """It goes into packages and exports as the training's data."""
    shipped = f"{bundle}/models/model.pt" in (ROOT / "pyproject.toml").read_text()
    source = configuration(bundle, "metadata")["data_source"]
    assert (source.startswith("Shipped weights: ") and "see data_license.txt" in source) == shipped
