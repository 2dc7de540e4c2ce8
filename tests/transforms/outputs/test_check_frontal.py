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


def checked(classifier, probability=None):
    probability = lungs() if probability is None else probability
    pred = MetaTensor(torch.from_numpy(probability)[None], meta={"filename_or_obj": "a.png"})
    return CheckFrontald(classifier=classifier)({"pred": pred, "image": torch.full((1, 100, 100), 0.25)})["check"]


def test_a_classifier_decides_in_the_place_of_the_shape():
    seen = []
    check = checked(lambda image: seen.append(image.mean().item()) or (0.02, 0.1))
    assert not check["frontal"] and check["probability"] == 0.02 and seen == [0.25] and check["shape"] == []
    said = "it looks like another kind of image: frontal with a probability of 2.0%, not of 10.0% or more"
    assert check["reasons"] == [said]
    apart = checked(lambda image: (0.4, 0.1), lungs(value=0.6))
    assert apart["frontal"] and not apart["reasons"] and "certain" in apart["shape"][0]


def test_where_there_is_no_lung_a_classifier_cannot_make_it_frontal():
    check = checked(lambda image: (0.99, 0.1), np.zeros((100, 100), np.float32))
    assert not check["frontal"] and check["reasons"] == ["what looks like lung covers 0% of the image"]


def test_a_classifier_that_was_not_fitted_leaves_it_to_the_shape():
    assert checked(lambda image: None) == frontal_check(lungs())
