"""The table of what follows the network, and that both of its ways write the same masks."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.timing.outputs import Settings, _time, outputs
from tests.running import bundle_of

PARTS = ["back to the image", "largest parts, holes", "mask", "overlay", "all"]


def test_table_of_each_part_before_and_after(capsys):
    threads = torch.get_num_threads()
    outputs(bundle_of("lungs"), ((96, 64), (64, 300)), rounds=2)
    said = capsys.readouterr().out
    assert "medians of 2 rounds" in said and "96 x 64" in said and "64 x 300" in said
    rows = re.findall(r"^(\D+?) +([\d.]+) +([\d.]+) +([\d.]+)$", said, re.MULTILINE)
    assert [name for name, *_ in rows] == 2 * PARTS
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("shape", [(300, 200), (128, 500)])
def test_both_ways_write_the_same_mask(shape, tmp_path):
    _time(Settings.of(bundle_of("lungs")), shape, 1, tmp_path)
    before, after = (np.asarray(Image.open(tmp_path / way / "image_mask.png")) for way in ("before", "after"))
    assert before.shape == shape[::-1] and set(np.unique(before)) == {0, 255}
    assert np.array_equal(before, after)
