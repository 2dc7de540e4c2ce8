"""The random changes of radiographs: what they may change and what they must not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from transforms import RandClutterd, RandExposured, RandOpacitiesd

COLUMNS, ROWS = 80, 64


@pytest.fixture
def item():
    """A bright body with two dark lungs, the truth of which is known."""
    label = torch.zeros(1, COLUMNS, ROWS, dtype=torch.uint8)
    label[:, 10:35, 10:50] = 1
    label[:, 45:70, 10:50] = 1
    return {"image": torch.where(label > 0, 0.2, 0.8), "label": label}


def drawn(transform, item, seeds=range(60)):
    for seed in seeds:
        yield transform.set_random_state(seed)(item)


def test_opacities_brighten_lungs_alone_and_not_beyond_the_tissue(item):
    changed = 0
    for result in drawn(RandOpacitiesd("image", prob=1.0), item):
        assert torch.equal(result["label"], item["label"])  # what is opaque is still lung
        difference = result["image"] - item["image"]
        far = torch.nn.functional.max_pool2d(item["label"].float(), 11, stride=1, padding=5) == 0
        assert difference[far].abs().max() == 0
        assert difference.min() >= 0 and result["image"].max() <= 0.8 + 0.35
        changed += difference.max() > 0.1
    assert changed > 45
    assert RandOpacitiesd("image", prob=0.0)(item)["image"] is item["image"]


def test_opacities_leave_an_image_without_lungs_alone(item):
    empty = {**item, "label": torch.zeros_like(item["label"])}
    assert RandOpacitiesd("image", prob=1.0)(empty)["image"] is item["image"]


def test_exposure_keeps_the_order_of_grey_values_unless_inverted(item):
    ramp = {"image": torch.linspace(0, 1, 64).repeat(COLUMNS, 1)[None]}
    for result in drawn(RandExposured("image", prob=1.0, gamma=0.7, window=0.2, gain=0.0), ramp):
        values = result["image"][0, 0]
        assert (values.diff() >= 0).all() and values.min() >= 0 and values.max() <= 1
    (inverted,) = drawn(RandExposured("image", prob=0.0, gamma=0, window=0, gain=0, invert=1.0), ramp, [0])
    torch.testing.assert_close(inverted["image"], 1 - ramp["image"])


def test_exposure_is_the_formula_of_its_docstring():
    flat = {"image": torch.full((1, 10, 10), 0.5)}
    transform = RandExposured("image", prob=1.0, gamma=0.7, window=0.2, gain=0.0).set_random_state(5)
    shown = transform(flat)["image"]
    expected = np.clip((0.5 - transform.low) / (transform.high - transform.low), 0, 1) ** transform.exponent
    np.testing.assert_allclose(shown.numpy(), expected, rtol=1e-5)


def test_clutter_changes_the_truth_below_borders_alone(item):
    bordered = 0
    for result in drawn(RandClutterd("image", prob=0.5, border=0.2), item):
        assert result["image"].min() >= 0 and result["image"].max() <= 1
        lost = (item["label"] > 0) & (result["label"] == 0)
        assert not ((result["label"] > 0) & (item["label"] == 0)).any()
        if lost.any():
            bordered += 1
            assert result["image"][lost].unique().numel() == 1  # one shade over all of the border
    assert bordered > 5
    for result in drawn(RandClutterd("image", prob=1.0, border=0.0), item):
        assert torch.equal(result["label"], item["label"])


def test_seed_decides(item):
    for make in (
        lambda: RandOpacitiesd("image", prob=1.0),
        lambda: RandExposured("image", 1.0, 0.7, 0.2, 0.3, 0.5),
        lambda: RandClutterd("image", prob=0.9),
    ):
        first, again, other = (make().set_random_state(seed)(item)["image"] for seed in (1, 1, 2))
        assert torch.equal(first, again) and not torch.equal(first, other)
