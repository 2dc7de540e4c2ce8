"""Exported networks: what ONNX Runtime and torch.export give is what torch gives, at sizes that were not traced."""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile

import onnxruntime
import pytest
import torch
from monai.bundle import ConfigParser

from networks import UNetWithHead
from pipelines.__main__ import main
from pipelines.sharing.export import ExportError, Probabilities, check
from tests.conftest import ROOT

BUNDLES = ROOT / "bundles"
PATHS = (str(ROOT).encode(), b"site-packages")  # of whoever exports


@pytest.fixture
def network(tmp_path):
    """Makes a bundle's real network, in float32, and a file of its weights: random ones, or those of the bundle."""

    def make(bundle, *overlays):
        configs = [BUNDLES / bundle / "configs" / f"{name}.json" for name in ("inference", *overlays)]
        parser = ConfigParser()
        parser.read_config(configs)
        parser.update(pairs={"precision": "float32", "device": "cpu"})
        torch.manual_seed(0)
        module = parser.get_parsed_content("network_def").eval()  # as the bundle itself runs it
        shipped = BUNDLES / bundle / "models" / "model.pt"
        if bundle == "lungs":
            module.load_state_dict(torch.load(shipped, weights_only=True))
            return module, shipped
        for layer in module.modules():  # statistics of untrained batch norms are 0 and 1, which hides mistakes
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.uniform_(-0.1, 0.1)
                layer.running_var.uniform_(0.5, 1.5)
        torch.save(module.state_dict(), tmp_path / "weights.pt")
        return module, tmp_path / "weights.pt"

    return make


def exported(bundle, out, *more):
    assert main(["export", str(BUNDLES / bundle), "--out", str(out), *map(str, more)]) == 0
    return out


def expected(module, images):
    with torch.no_grad():
        logits = module(images)
    return torch.sigmoid(logits) if logits.shape[1] == 1 else torch.softmax(logits, dim=1)


@pytest.mark.parametrize(
    ("bundle", "channels", "classes"),
    [("pneumonia", 1, 1), ("lungs", 1, 1), pytest.param("abdomen", 3, 6, marks=pytest.mark.slow)],
)
def test_onnx_runtime_gives_the_probabilities_of_torch_at_any_batch_and_size(
    network, tmp_path, bundle, channels, classes
):
    module, weights = network(bundle)
    out = exported(bundle, tmp_path / "network.onnx", "--weights", weights)
    session = onnxruntime.InferenceSession(out)
    assert session.get_inputs()[0].shape == ["batch", channels, "32*width", "32*height"]
    for batch, x, y in ((1, 64, 160), (5, 96, 64)):
        images = torch.rand(batch, channels, x, y)
        (probabilities,) = session.run(["probabilities"], {"image": images.numpy()})
        assert probabilities.shape == (batch, classes, x, y)
        assert abs(probabilities - expected(module, images).numpy()).max() < 1e-5
    with pytest.raises(Exception, match="image_sizes_must_be_multiples_of_32"):
        session.run(None, {"image": torch.rand(1, channels, 100, 96).numpy()})
    with pytest.raises(Exception, match="image_sizes_must_be_multiples_of_32"):
        session.run(None, {"image": torch.rand(1, channels, 64, 16).numpy()})

    about = session.get_modelmeta().custom_metadata_map
    assert about["bundle"] == bundle and about["version"] == "0.1.0"
    assert about["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert "multiples of 32, at least 64" in about["input"]
    said = "(batch, 6, x, y), 0 to 1, by softmax" if bundle == "abdomen" else "(batch, 1, x, y), 0 to 1, by sigmoid"
    assert (
        said in about["output"] and ("5 bowel" if bundle == "abdomen" else f"channels: 0 {bundle}") in about["output"]
    )
    assert not any(word in out.read_bytes() for word in PATHS)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".onnx"] == ["network.onnx"]


@pytest.mark.parametrize(("overlays", "step"), [([], 32), (["classic"], 16)])
def test_torch_export_gives_the_probabilities_of_torch_at_any_batch_and_size(network, tmp_path, overlays, step):
    module, weights = network("opacity", *overlays)
    out = exported("opacity", tmp_path / "network.pt2", "--weights", weights, "--overlays", *overlays)
    extra = {"metadata.json": ""}
    loaded = torch.export.load(out, extra_files=extra).module()
    for batch, x, y in ((1, 64, 160), (4, 128, 64)):
        images = torch.rand(batch, 1, x, y)
        assert (loaded(images) - expected(module, images)).abs().max() < 1e-5
    with pytest.raises(Exception, match=f"% {step} == 0"):
        loaded(torch.rand(1, 1, 100, 64))
    with pytest.raises(Exception, match=f">= {2 * step}"):
        loaded(torch.rand(1, 1, 64, step))
    about = json.loads(extra["metadata.json"])
    assert about["overlays"] == " ".join(overlays) and f"multiples of {step}" in about["input"]
    assert about["image_size"] == "256"
    with zipfile.ZipFile(out) as parts:
        assert not any(word in parts.read(name) for name in parts.namelist() for word in PATHS)
        assert not any("unfinished" in name for name in parts.namelist())


def test_weights_that_give_no_numbers_are_refused_and_nothing_is_written(network, tmp_path, capsys):
    module, _ = network("pneumonia")
    state = module.state_dict()
    next(iter(state.values()))[:] = float("nan")
    torch.save(state, tmp_path / "damaged.pt")
    folder = tmp_path / "out"
    command = ["export", str(BUNDLES / "pneumonia"), "--weights", str(tmp_path / "damaged.pt")]
    assert main([*command, "--out", str(folder / "network.pt2")]) == 1
    assert "are not finite: the file is damaged" in capsys.readouterr().err
    assert not list(folder.rglob("*"))


def test_an_export_that_differs_is_refused_with_the_difference():
    torch.manual_seed(0)
    module = Probabilities(UNetWithHead(2, 1, 1, [4, 8], [2]).eval().requires_grad_(False), channels=1, step=2)
    assert check(lambda image: module(image) + 5e-5, module, "near.onnx") == pytest.approx(5e-5, abs=1e-6)
    with pytest.raises(ExportError, match=r"far.onnx.*\(3, 1, 4, 8\).*by 0.02"):
        check(lambda image: module(image) + (0.02 if len(image) == 3 else 0), module, "far.onnx")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "network.ts"], "ends in .onnx or .pt2"),
        (["--out", "network.pt2", "--weights", "nowhere.pt"], "nowhere.pt: no such file"),
        (["--out", "network.pt2", "--image_size", "128"], "was trained with image_size 256"),
        (["--out", "network.pt2", "--overlays", "classic"], "classic.json: no such overlay"),
    ],
)
def test_what_cannot_be_exported_is_said_plainly(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(BUNDLES / "lungs"), *arguments]) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_image_size_that_the_network_cannot_take_names_the_nearest(network, tmp_path, capsys):
    _, weights = network("pneumonia")
    command = ["export", str(BUNDLES / "pneumonia"), "--weights", str(weights), "--image_size", "100"]
    assert main([*command, "--out", str(tmp_path / "network.pt2")]) == 1
    assert "height 96 or 128" in capsys.readouterr().err


def test_where_a_package_is_missing_the_command_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [])
    for name in [name for name in sys.modules if name.partition(".")[0] == "onnxscript"]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["export", str(BUNDLES / "lungs"), "--out", str(tmp_path / "network.onnx")]) == 1
    assert "onnxscript: run pip install -e '.[export]'" in capsys.readouterr().err
