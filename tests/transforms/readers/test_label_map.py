"""Labels from pictures: grey values and a palette's indices as they are."""

from __future__ import annotations

import numpy as np
import pytest
from monai.transforms import LoadImage
from PIL import Image

from transforms import DataError, LabelMapReader

LABELS = np.array([[0, 1, 2], [5, 255, 0]], np.uint8)  # (rows, columns)


def load(path):
    return LoadImage(reader=LabelMapReader(), image_only=True)(path)


def test_values_are_labels_and_columns_come_first(tmp_path):
    Image.fromarray(LABELS).save(tmp_path / "a.png")
    labels = load(tmp_path / "a.png")
    assert labels.shape == (3, 2) and labels.numpy().T.tolist() == LABELS.tolist()


def test_of_a_palette_the_indices_count(tmp_path):
    picture = Image.fromarray(LABELS, mode="P")
    picture.putpalette([7] * 768)  # all of one colour
    picture.save(tmp_path / "a.png")
    assert load(tmp_path / "a.png").numpy().T.tolist() == LABELS.tolist()


def test_what_is_no_label_map_is_named(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "colour.png")
    with pytest.raises(DataError, match="colour.png: is in colour"):
        load(tmp_path / "colour.png")
    (tmp_path / "text.png").write_text("labels")
    with pytest.raises(DataError, match="text.png: neither a PNG nor a JPEG file"):
        load(tmp_path / "text.png")
    with pytest.raises(DataError, match="gone.png: no such file"):
        load(tmp_path / "gone.png")
