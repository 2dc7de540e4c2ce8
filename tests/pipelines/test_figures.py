"""Figures on disk: whole or not at all, and pictures in rows."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pipelines.figures import Panel, draw_rows, save_figure


def share_of(picture, colour, tolerance=8):
    return (np.abs(picture.astype(int) - colour).max(axis=-1) <= tolerance).mean()


def test_a_figure_that_cannot_be_drawn_leaves_the_one_before(tmp_path):
    save_figure(Figure(figsize=(2, 1)), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    assert Image.open(tmp_path / "a.png").size == (160, 80)
    figure = Figure()
    figure.text(0.5, 0.5, "$\\frac{1$")  # no mathematics
    with pytest.raises(ValueError, match="frac"):
        save_figure(figure, tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"] and (tmp_path / "a.png").read_bytes() == before


def test_rows_hold_grey_and_colour_outlines_and_a_key(tmp_path):
    grey, half = np.full((20, 30), 0.5), np.zeros((20, 30), bool)
    half[:, 15:] = True
    red = np.broadcast_to([255, 0, 0], (20, 30, 3)).astype(np.uint8)
    outlined = Panel("outlined", grey, [("#0000ff", half), ("#00ff00", half & False), ("#00ff00", half | True)])
    draw_rows([[Panel("grey", grey), Panel("red", red)]], tmp_path / "one.png", "title")
    draw_rows([[outlined, Panel("red", red)]] * 2, tmp_path / "two.png", "title", {"something": "#ff00ff"})
    one, two = (np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")) for name in ("one", "two"))
    assert len(two) > 1.5 * len(one)
    for picture in (one, two):
        assert share_of(picture, [128, 128, 128]) > 0.2 and share_of(picture, [255, 0, 0]) > 0.2
    red, green, blue = (two[..., channel].astype(int) for channel in range(3))
    assert (blue - np.maximum(red, green) > 50).any()
    assert not (green - np.maximum(red, blue) > 50).any()  # what fills nothing or everything has no outline
    assert share_of(two, [255, 0, 255]) > 0
