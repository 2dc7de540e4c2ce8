"""The check for frontal radiographs, on masks drawn by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from transforms import CheckFrontald, OutputLayout, SaveCheckd, frontal_check


def lungs(first=(15, 45, 20, 80), second=(55, 85, 20, 80), value=0.99):
    probability = np.zeros((100, 100), np.float32)
    for x0, x1, y0, y1 in (first, second):
        probability[x0:x1, y0:y1] = value
    return probability


def test_two_lungs_side_by_side_are_frontal():
    check = frontal_check(lungs())
    assert check["frontal"] and not check["reasons"]
    assert check["area"] == pytest.approx(0.36) and check["smaller"] == 1 and check["certain"] == 1


@pytest.mark.parametrize(
    ("probability", "reason"),
    [
        (np.zeros((100, 100), np.float32), "covers 0% of the image"),
        (np.ones((100, 100), np.float32), "covers 100% of the image"),
        (lungs(second=(0, 0, 0, 0)), "no two lungs were found"),
        (lungs(second=(60, 65, 40, 50)), "no two lungs were found: the second largest part has 3%"),
        (lungs((20, 80, 15, 45), (20, 80, 55, 85)), "the two parts do not lie side by side"),
        (lungs(value=0.6), "only 0% of what may be lung is certain"),
    ],
)
def test_what_is_not_frontal_is_flagged_with_the_reason(probability, reason):
    check = frontal_check(probability)
    assert not check["frontal"] and any(reason in text for text in check["reasons"])


def test_check_is_logged_with_the_file_and_saved(tmp_path, caplog):
    pred = MetaTensor(torch.zeros(1, 50, 50), meta={"filename_or_obj": str(tmp_path / "in" / "hand.png")})
    data = CheckFrontald()({"pred": pred})
    assert "hand.png: may not be a frontal chest radiograph: what looks like lung covers 0%" in caplog.text
    SaveCheckd("pred", OutputLayout(tmp_path / "out", tmp_path / "in", "check", ".json"))(data)
    saved = json.loads((tmp_path / "out" / "hand_check.json").read_text())
    assert saved["frontal"] is False and "covers 0%" in saved["reasons"][0]
