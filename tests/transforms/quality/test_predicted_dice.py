"""A Dice predicted by hand, and masks that nothing is predicted of."""

from __future__ import annotations

import json
from math import log

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from transforms import CheckFrontald, DataError, PredictDiced, distance, mask_features, predict_dice

# 1 - Dice is twice 1 - expected Dice, and up to a factor of 2 off
QUALITY = {
    "features": {
        "expected_dice": {"seen": [0.95, 0.99], "mean": 0.97, "scale": 0.01},
        "area": {"seen": [0.2, 0.3], "mean": 0.25, "scale": 0.02},
    },
    "limit": 3.0,
    "intercept": log(2),
    "slope": 1.0,
    "half_width": log(2),
    "level": 0.9,
    "threshold": 0.5,
}


def test_by_hand():
    found = predict_dice({"expected_dice": 0.98, "area": 0.25}, QUALITY)
    assert found == {
        "predicted_dice": pytest.approx(0.96),
        "interval": pytest.approx([0.92, 0.98]),
        "level": 0.9,
        "outside": False,
        "reasons": [],
    }
    at_an_end = predict_dice({"expected_dice": 0.945, "area": 0.25}, QUALITY | {"half_width": log(20)})
    assert at_an_end["interval"] == pytest.approx([0, 1 - 0.11 / 20])
    known = {"expected_dice": {"seen": [0.95, 1], "mean": 0.98, "scale": 0.01}}
    perfect = predict_dice({"expected_dice": 0.9999, "area": 0.25}, QUALITY | {"features": known})
    assert perfect["interval"] == [pytest.approx(0.996), 1]  # 1 - Dice counts as 0.001 or more: 0.002, up to twice off


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        ({"expected_dice": 0.98, "area": 0.35}, "area is 0.350, and 0.200 to 0.300 was seen"),
        ({"expected_dice": 0.93, "area": 0.25}, "expected_dice is 0.930, and 0.950 to 0.990 was seen"),
        ({"expected_dice": 0.0, "area": 0}, "nothing is marked"),
    ],
)
def test_of_what_the_fit_does_not_know_there_is_no_number(features, reason):
    found = predict_dice(features, QUALITY)
    assert found["outside"] and found["predicted_dice"] is None and found["interval"] is None
    assert found["reasons"] == [reason]


def test_the_transform_adds_it_to_the_check():
    probability = MetaTensor(torch.zeros(1, 20, 20))
    probability[:, 5:15, 5:15] = 0.98
    quality = QUALITY | {"features": {"area": QUALITY["features"]["area"]}}
    data = CheckFrontald()(PredictDiced("pred", quality, 0.5)({"pred": probability}))
    expected = predict_dice(mask_features(np.asarray(probability[0]), 0.5), quality)
    assert data["check"]["quality"] == expected and not expected["outside"] and data["check"]["frontal"] is False
    json.dumps(data["check"]["quality"], allow_nan=False)
    other = PredictDiced("pred", quality, 0.3)({"pred": probability})["check"]["quality"]
    assert other["predicted_dice"] is None and "the fit at 0.500" in other["reasons"][0]
    with pytest.raises(DataError, match="holds a damaged quality"):
        PredictDiced("pred", {"slope": 1.0}, 0.5)
    assert PredictDiced("pred", None, 0.5)({"pred": probability}).keys() == {"pred"}


LIKENESS = {"mean": [1.0, 10.0], "scale": [0.5, 2.0], "limit": 2.0}


def test_the_distance_by_hand():
    """Off by 2 and by 1 deviations: (4 + 1) / 2."""
    assert distance([[2.0, 12.0], [1.0, 10.0]], LIKENESS) == pytest.approx([2.5, 0])
    with pytest.raises(DataError, match="fitted with 2 features of a network, and this one has 3"):
        distance([1.0, 2.0, 3.0], LIKENESS)


@pytest.mark.parametrize(("second", "outside"), [(12.0, True), (10.0, False)])
def test_of_an_image_unlike_those_of_the_fit_there_is_no_number(second, outside):
    """Such as one of another hospital, however sure the network is of it."""
    probability = torch.zeros(1, 20, 20)
    probability[0, 5:15, 5:15] = 0.97
    known = {"area": {"seen": [0.2, 0.3], "mean": 0.25, "scale": 0.02}}
    quality = QUALITY | {"features": known, "likeness": LIKENESS}
    step = PredictDiced("pred", quality, 0.5, bottom=lambda image: [float(image.max()), second])
    found = step({"image": torch.full((1, 20, 20), 2.0), "pred": probability})["check"]["quality"]
    assert found["outside"] is outside and (found["interval"] is None) is outside
    if outside:
        assert found["reasons"] == ["the image is unlike those of the fit: 2.50 from them, and up to 2.00 is usual"]


def test_a_likeness_needs_the_network_and_all_its_parts():
    data = {"image": torch.ones(1, 4, 4), "pred": torch.ones(1, 4, 4)}
    with pytest.raises(DataError, match="PredictDiced has no bottom"):
        PredictDiced("pred", QUALITY | {"likeness": LIKENESS}, 0.5)(data)
    with pytest.raises(DataError, match="damaged quality"):
        PredictDiced("pred", QUALITY | {"likeness": {"mean": [1.0]}}, 0.5)
