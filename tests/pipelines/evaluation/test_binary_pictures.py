"""Pictures of radiographs beside truth and prediction."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pipelines.evaluation.binary_pictures import draw_cases, keep_masks, load_masks, pack, unpack


def test_truth_is_green_and_prediction_orange_where_the_masks_are(tmp_path):
    """Seen as a person sees it: x to the right, y downwards."""
    black, left, top = np.zeros((40, 20)), np.zeros((40, 20), bool), np.zeros((40, 20), bool)
    left[:10], top[:, :5] = True, True
    case = {"image": black, "truth": left, "prediction": top, "caption": "case 0"}
    draw_cases([case], tmp_path / "a.png", "title")
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    tops = []
    for colour, (across, down) in (((0x00, 0xC2, 0xA8), (0.25, 1)), ((0xFF, 0x7F, 0x0E), (1, 0.25))):
        tint = np.abs(picture - 0.45 * np.array(colour)).max(axis=-1) <= 2
        rows, columns = np.nonzero(tint)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert tint[rows.min() : rows.max(), columns.min() : columns.max()].all()
        assert abs(width / height - (40 * across) / (20 * down)) < 0.1 * width / height
        tops.append(rows.min())
    assert abs(tops[0] - tops[1]) <= 1  # what fills the first rows begins where the picture does


def test_masks_are_kept_and_read_again_whatever_their_sizes(tmp_path):
    rng = np.random.default_rng(0)
    masks = [rng.random((2, *shape)) > 0.5 for shape in ((5, 3), (1, 1), (40, 7))]
    keep_masks([pack(truth, prediction) for truth, prediction in masks], tmp_path / "masks.npz")
    read = [unpack(packed) for packed in load_masks(tmp_path / "masks.npz")]
    assert len(read) == 3 and all(np.array_equal(a, b) for a, b in zip(read, masks, strict=True))
