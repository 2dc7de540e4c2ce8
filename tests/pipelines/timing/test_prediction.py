"""The benchmark of prediction: its tables, and that its plain loop gives the masks of the bundle."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from pipelines.bundle import Bundle
from pipelines.timing import prediction as timing
from tests.conftest import ROOT


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The bundle ``lungs`` with a small network, and small phantoms."""
    configs = tmp_path / "lungs" / "configs"
    shutil.copytree(ROOT / "bundles" / "lungs" / "configs", configs)
    config = json.loads((configs / "inference.json").read_text())
    config["network_def"]["network"] |= {"channels": [4, 8], "strides": [2]}
    (configs / "inference.json").write_text(json.dumps(config | {"image_size": 64}))
    monkeypatch.setattr(timing, "SIDE", 96)
    monkeypatch.setattr(timing, "LARGE", (90, 120))
    return Bundle(tmp_path / "lungs")


def test_table_of_both_ways_and_of_the_network_s_share(tiny, capsys):
    timing.prediction(tiny, drawn=3, rounds=2)
    first, head, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith("medians of 2 rounds of 3 images") and head.split()[-2:] == ["network's", "share"]
    found = [re.fullmatch(r"(.+?) +([\d.]+)/s +([\d.]+)/s +([\d.]+) +(\d+)%", row).groups() for row in rows]
    assert [name for name, *_ in found] == ["JPEG DICOM, 96²", "PNG, 120 x 90"]
    assert all(float(rate) > 0 for _, plain, ours, ratio, _ in found for rate in (plain, ours, ratio))


def test_the_plain_loop_gives_the_bundle_s_masks(tiny, tmp_path):
    """But for what is resampled otherwise at the edges."""
    weights, images = timing._random_weights(tiny, tmp_path), tmp_path / "in"
    images.mkdir()
    timing._png(images / "a", np.random.default_rng(0))
    timing._PlainLoop(tiny, weights).run([images / "a.png"], tmp_path / "plain")
    assert timing._predicting(tiny, images, tmp_path / "ours", weights)() == 0
    plain, ours = (np.asarray(Image.open(tmp_path / way / "a_mask.png")) > 0 for way in ("plain", "ours"))
    assert plain.shape == ours.shape == (90, 120) and np.mean(plain == ours) > 0.9


def test_what_more_images_cost(tiny, capsys):
    timing.growth(tiny, cases=(5, 10), few=2, many=4)
    said = capsys.readouterr().out
    assert re.search(
        r"^ +2 images are predicted with +\d+ MB at most\n +4 images .* MB at most, [+-][\d.]+%$", said, re.M
    )
    took = r" +[\d.]+ s, \d+ us each"
    assert re.search(rf"^ +5{took}{took}{took}\n +10{took}{took}{took}$", said, re.M)
