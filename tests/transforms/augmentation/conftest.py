"""Radiographs to change at random, and the changes over many seeds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from monai.transforms import Randomizable

COLUMNS, ROWS, IMAGES = 80, 64, 3


@pytest.fixture
def item() -> dict[str, torch.Tensor]:
    """A batch of bright bodies with two dark lungs each, the truth of which is known."""
    label = torch.zeros(IMAGES, 1, COLUMNS, ROWS, dtype=torch.uint8)
    label[:, :, 10:35, 10:50] = 1
    label[:, :, 45:70, 10:50] = 1
    return {"image": torch.where(label > 0, 0.2, 0.8), "label": label}


def drawn(transform: Randomizable, item: dict, seeds=range(20)) -> Iterator[dict]:
    for seed in seeds:
        yield transform.set_random_state(seed)(item)
