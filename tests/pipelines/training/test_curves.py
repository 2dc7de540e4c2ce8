"""The panels of a training's curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.training.curves import curves, draw_curves

TRAINING = {
    "epoch": [1, 2, 3],
    "seconds": [4.0, 4.0, 4.0],
    "train_loss": [0.9, 0.5, 0.4],
    "train_dice_pooled_over_all": [0.1, 0.5, 0.6],
    "train_dice_by_image_over_positives": [0.2, 0.4, 0.5],
    "train_iou_by_image_over_positives": [0.1, 0.3, 0.4],
}
VALIDATION = {
    "val_dice_by_image_over_positives": [0.1, np.nan, 0.3],
    "val_iou_by_image_over_positives": [0.0, 0.1, 0.2],
}
LOSS = {"val_loss_by_image_over_all": [0.8, 0.7, 0.6]}
TEST = {"test_loss": [1.0, 0.9, 0.8], "test_dice": [0.1, 0.2, 0.3]}
NEVER = {"val_loss_by_image_over_all": [np.nan] * 3}  # not a number in any epoch


@pytest.mark.parametrize(
    ("more", "panels"),
    [
        (VALIDATION, ["IoU, validation", "Dice, validation"]),
        (VALIDATION | LOSS, ["Loss, validation", "IoU, validation", "Dice, validation"]),
        (VALIDATION | NEVER, ["IoU, validation", "Dice, validation"]),
        (VALIDATION | TEST, ["IoU, validation", "Dice, validation", "Loss, test", "Dice, test"]),
        ({}, []),
    ],
)
def test_no_panel_is_empty(more, panels):
    axes = curves(pd.DataFrame(TRAINING | more)).axes
    assert [axis.get_title() for axis in axes] == ["Loss, training", "IoU, training", "Dice, training", *panels]
    for axis in axes:
        assert axis.lines and all(
            np.isfinite(line.get_xydata()).all() and len(line.get_xydata()) for line in axis.lines
        )
        assert axis.xaxis.get_tick_params()["labelbottom"]  # whatever is below it


def test_lines_are_the_columns():
    axes = {axis.get_title(): axis for axis in curves(pd.DataFrame(TRAINING | VALIDATION)).axes}
    assert [line.get_label() for line in axes["Dice, training"].lines] == [
        "dice pooled over all",
        "dice by image over positives",
    ]
    (line,) = axes["Dice, validation"].lines
    assert line.get_xydata().tolist() == [[1, 0.1], [3, 0.3]]  # an epoch that was not validated has no point
    assert axes["Dice, validation"].get_ylim() == (0, 1)


def test_the_picture_is_written(tmp_path):
    draw_curves(pd.DataFrame(TRAINING), tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").width > 1000
