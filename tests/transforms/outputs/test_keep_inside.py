"""Predictions kept inside an organ, on images drawn by hand."""

from __future__ import annotations

import torch

from transforms import KeepInsided


class Bright(torch.nn.Module):
    """Finds an organ where the image is bright."""

    def forward(self, image):
        return image - 0.5


def test_predictions_are_kept_within_a_margin_of_the_organ(caplog):
    image, pred = torch.zeros(1, 20, 20), torch.full((1, 20, 20), 0.7)
    image[:, 8, 5] = 1
    kept = KeepInsided("pred", Bright(), size=20, margin=0.1)({"image": image, "pred": pred})["pred"]
    expected = torch.zeros(1, 20, 20)
    expected[:, 6:11, 3:8] = 0.7
    assert torch.equal(kept, expected)
    nothing = KeepInsided("pred", Bright(), size=20, margin=0.1)({"image": image * 0, "pred": pred})["pred"]
    assert torch.equal(nothing, pred) and "no organ was found" in caplog.text
