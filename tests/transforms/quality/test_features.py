"""The numbers that go with a mask's quality, on a mask drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from transforms import MaskFeaturesd, mask_features


def drawn():
    probability = np.zeros((8, 6), np.float32)
    probability[1:4, 1:5] = 1
    probability[6, 0] = 0.25
    return probability


def test_by_hand():
    """12 pixels, of which 10 lie at the edge; outside them one of a quarter; mirrored, they do not meet."""
    found = mask_features(drawn(), 0.5)
    entropy = -0.25 * np.log(0.25) - 0.75 * np.log(0.75)
    expected = {"expected_dice": 24 / 24.25, "edge_entropy": entropy / 10, "area": 0.25, "symmetry": 0}
    assert found == pytest.approx(expected)
    assert mask_features(drawn(), 0.2)["area"] == pytest.approx(13 / 48)
    both = np.maximum(drawn(), drawn()[::-1])
    assert mask_features(both, 0.5)["symmetry"] == 1


def test_a_mask_without_a_pixel():
    assert mask_features(np.zeros((4, 4), np.float32), 0.5) == dict.fromkeys(
        ("expected_dice", "edge_entropy", "area", "symmetry"), 0
    )


def test_the_transform_adds_them():
    data = MaskFeaturesd("pred", 0.5)({"pred": torch.from_numpy(drawn())[None]})
    assert data["features"] == mask_features(drawn(), 0.5) and len(data["pred"]) == 1
