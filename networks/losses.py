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
