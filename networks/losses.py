"""Losses as sums of MONAI's and torch's own."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss, FocalLoss
from torch import nn


class FocalBCEDiceLoss(nn.Module):
    """The unweighted sum of focal loss (gamma 2), binary cross-entropy and Dice loss over the batch, from logits.

    The sum that U-Net solutions of the RSNA Pneumonia Detection Challenge train with. Focal loss: Lin et al. 2017,
    arXiv 1708.02002; Dice loss: Milletari et al. 2016, arXiv 1606.04797.
    """

    def __init__(self) -> None:
        super().__init__()
        self.focal = FocalLoss(gamma=2.0)
        self.bce = nn.BCEWithLogitsLoss()
        self.dice = DiceLoss(sigmoid=True, batch=True)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits of shape (N, 1, H, W), any range, and target of the same shape, 0 or 1; returns a scalar."""
        target = target.to(logits.dtype)
        return self.focal(logits, target) + self.bce(logits, target) + self.dice(logits, target)


class KnownLoss(nn.Module):
    """A loss of one class that leaves pixels out whose truth is not known.

    They count as if the network had been right about them, with no gradient: as inside, which is what masks say that
    cannot tell all of it.

    Args:
        loss: from logits, of shape (N, 1, H, W), and a target of 0 and 1.
    """

    unknown = 2.0

    def __init__(self, loss: nn.Module):
        super().__init__()
        self.loss = loss

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits of shape (N, 1, H, W), any range, and target of the same shape: 0, 1, or 2 where it is not known."""
        known = target != self.unknown
        # exp(-20) is nothing in float32 beside any other pixel
        return self.loss(torch.where(known, logits, logits.new_tensor(20.0)), target.clamp(max=1))
