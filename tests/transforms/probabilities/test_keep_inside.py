"""Predictions kept inside an organ, on images drawn by hand."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

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


class Half(torch.nn.Module):
    """Finds an organ in the left half of every image, or in the upper one, and says what it is given."""

    def __init__(self, axis):
        super().__init__()
        self.axis = axis
        self.seen = []

    def forward(self, image):
        self.seen.append((tuple(image.shape), self.training, torch.is_grad_enabled()))
        logits = torch.full_like(image, -5)
        logits.narrow(self.axis, 0, image.shape[self.axis] // 2).fill_(5)
        return logits


@pytest.mark.parametrize(("axis", "inside"), [(2, (slice(0, 10), slice(None))), (3, (slice(None), slice(0, 10)))])
def test_half_of_an_image_and_the_margin_beside_it_are_kept(axis, inside):
    network = Half(axis)
    image = MetaTensor(torch.rand(1, 16, 16), meta={"filename_or_obj": "a.dcm"})
    pred = MetaTensor(torch.full((1, 16, 16), 0.25), meta={"filename_or_obj": "a.dcm"})
    kept = KeepInsided("pred", network, size=8, margin=0.1)({"image": image, "pred": pred})
    expected = torch.zeros(16, 16)
    expected[inside] = 0.25  # 8 of 16 pixels are inside, and a tenth of 16 is 2 when rounded
    assert torch.equal(kept["pred"][0].as_tensor(), expected)
    assert kept["pred"].meta["filename_or_obj"] == "a.dcm" and kept["image"] is image
    assert network.seen == [((1, 1, 8, 8), False, False)]  # at its own size, not in training, without gradients


def test_without_a_margin_the_organ_alone_is_kept_for_every_key():
    data = {"image": torch.rand(1, 8, 8), "one": torch.ones(1, 8, 8), "other": torch.full((1, 8, 8), 0.5)}
    kept = KeepInsided(["one", "other"], Half(2), size=8, margin=0.0)(data)
    for key, value in (("one", 1.0), ("other", 0.5)):
        assert (kept[key][:, :4] == value).all() and not kept[key][:, 4:].any()
    assert data["one"].all()  # what was given is not written into
