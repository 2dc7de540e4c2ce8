"""The sum of losses, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from networks import FocalBCEDiceLoss


def test_sum_of_losses_worked_by_hand():
    logits, target = torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    p = 1 / (1 + np.exp(-np.array([0.0, 2.0])))
    cross_entropy = -np.log([p[0], 1 - p[1]])
    focal = np.mean(np.array([1 - p[0], p[1]]) ** 2 * cross_entropy)
    dice = 1 - (2 * p[0] + 1e-5) / (1 + p.sum() + 1e-5)
    expected = focal + cross_entropy.mean() + dice
    assert FocalBCEDiceLoss()(logits, target).item() == pytest.approx(expected, abs=1e-5)
