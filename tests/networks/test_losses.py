"""The sum of losses, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss

from networks import FocalBCEDiceLoss, KnownLoss


def test_sum_of_losses_worked_by_hand():
    logits, target = torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    p = 1 / (1 + np.exp(-np.array([0.0, 2.0])))
    cross_entropy = -np.log([p[0], 1 - p[1]])
    focal = np.mean(np.array([1 - p[0], p[1]]) ** 2 * cross_entropy)
    dice = 1 - (2 * p[0] + 1e-5) / (1 + p.sum() + 1e-5)
    expected = focal + cross_entropy.mean() + dice
    assert FocalBCEDiceLoss()(logits, target).item() == pytest.approx(expected, abs=1e-5)


def test_dice_is_over_the_batch_and_not_over_each_image():
    """One image is found and one is empty: by image, the empty one alone would cost a half."""
    logits = torch.tensor([[20.0, 20.0, -20.0], [-20.0, -20.0, 0.0]]).reshape(2, 1, 1, 3)
    target = torch.tensor([[1, 1, 0], [0, 0, 0]], dtype=torch.uint8).reshape(2, 1, 1, 3)
    dice = 1 - 2 * 2 / (2 + 2.5)  # of all six pixels: 2 in common, 2 true, 2.5 predicted
    cross_entropy, focal = np.log(2) / 6, 0.25 * np.log(2) / 6  # of the one pixel that is in doubt
    assert FocalBCEDiceLoss()(logits, target).item() == pytest.approx(dice + cross_entropy + focal, abs=1e-5)


def test_a_certain_and_right_prediction_costs_nothing_and_every_other_has_a_gradient():
    target = torch.tensor([[[[1.0, 0.0, 1.0]]]])
    assert FocalBCEDiceLoss()(60 * target - 30, target).item() == pytest.approx(0, abs=1e-4)
    logits = torch.zeros(1, 1, 1, 3, requires_grad=True)
    FocalBCEDiceLoss()(logits, target).backward()
    assert torch.equal(logits.grad.sign(), 1 - 2 * target)


def test_what_is_not_known_has_no_gradient_and_counts_as_found():
    logits = torch.tensor([[[[0.3, -1.0, 2.0, 0.5]]]], requires_grad=True)
    loss = KnownLoss(DiceCELoss(sigmoid=True))(logits, torch.tensor([[[[1.0, 0.0, 2.0, 2.0]]]]))
    right = torch.tensor([[[[0.3, -1.0, 50.0, 50.0]]]])
    assert loss.item() == pytest.approx(
        DiceCELoss(sigmoid=True)(right, torch.tensor([[[[1.0, 0.0, 1.0, 1.0]]]])).item()
    )
    loss.backward()
    assert logits.grad[0, 0, 0, 2:].tolist() == [0, 0] and logits.grad[0, 0, 0, :2].abs().min() > 0


def test_where_all_is_known_the_loss_is_that_which_it_was_given():
    logits, target = torch.randn(2, 1, 4, 4), (torch.rand(2, 1, 4, 4) > 0.5).float()
    assert KnownLoss(DiceCELoss(sigmoid=True))(logits, target) == DiceCELoss(sigmoid=True)(logits, target)
