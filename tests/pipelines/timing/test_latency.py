"""The latency of a network: each way from the image to probabilities, beside eager float32."""

from __future__ import annotations

import json
import re
import shutil

import torch

from pipelines.__main__ import main
from tests.conftest import ROOT

BUNDLES = ROOT / "bundles"


def test_latency_prints_each_way_beside_eager_float32(tmp_path, capsys):
    configs = tmp_path / "tiny" / "configs"
    shutil.copytree(BUNDLES / "opacity" / "configs", configs)
    config = json.loads((configs / "inference.json").read_text())
    config["network_def"]["network"] |= {"channels": [4, 8], "strides": [2]}
    config |= {"bundle_root": str(tmp_path / "tiny"), "image_size": 32}
    (configs / "inference.json").write_text(json.dumps(config))
    assert main(["latency", str(tmp_path / "tiny")]) == 0
    said = capsys.readouterr().out
    assert "tiny: an image of 32 x 32" in said and "weights: random" in said
    assert f"threads: {torch.get_num_threads()} for all" in said and f"torch {torch.__version__}" in said
    rows = dict(re.findall(r"^(.+?) +[0-9.]+ ms +([0-9.]+)$", said, re.MULTILINE))
    assert {"eager, bfloat16", "torch.export, float32", "ONNX Runtime, float32"} <= set(rows)
    assert rows["eager, float32"] == "1.00"
