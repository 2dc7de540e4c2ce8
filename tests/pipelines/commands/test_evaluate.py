"""``evaluate``: the split and the weights that were asked for are what is measured."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import torch

from pipelines.__main__ import main
from pipelines.bundle import Bundle
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
