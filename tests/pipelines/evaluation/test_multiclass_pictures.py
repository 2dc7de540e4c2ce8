"""Pictures of a segmentation into classes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipelines.evaluation.multiclass_pictures import draw_class_cases, draw_confusion, draw_roc
from transforms import CLASS_COLOURS

CLASSES = ["background", "liver", "spleen"]


def opened(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def pixels_of(picture, colour):
    return (np.abs(picture - [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).max(axis=-1) <= 3).sum()


def test_classes_have_their_colours_in_the_pictures_and_in_the_key(tmp_path):
    labels = np.zeros((30, 20), np.uint8)
    labels[5:15, 5:15] = 1
    case = {"image": np.zeros((30, 20)), "truth": labels, "prediction": 0 * labels, "caption": "case 0"}
    draw_class_cases([case], CLASSES, tmp_path / "a.png", "title")
    picture = opened(tmp_path / "a.png")
    liver, spleen = (pixels_of(picture, colour) for colour in CLASS_COLOURS[:2])
    assert liver > spleen > 0  # the spleen is in the key alone


def test_confusion_shows_shares_of_the_true_class_and_a_class_that_is_nowhere(tmp_path):
    draw_confusion(np.array([[90, 10, 0], [0, 5, 5], [0, 0, 0]]), CLASSES, tmp_path / "a.png")
    assert opened(tmp_path / "a.png").std() > 10


@pytest.mark.parametrize("curves", [{}, {"liver": (np.array([0, 0.01, 1]), np.array([0, 0.9, 1]))}])
def test_roc_curves_are_drawn_or_none(tmp_path, curves):
    draw_roc(curves, tmp_path / "a.png")
    assert opened(tmp_path / "a.png").shape[1] > 500
