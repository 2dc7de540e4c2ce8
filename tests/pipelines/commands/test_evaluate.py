"""``evaluate``: the split and the weights that were asked for are what is measured."""

from __future__ import annotations

import json
import shutil

from pipelines.__main__ import main
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
