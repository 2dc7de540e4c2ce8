"""Boxes into masks, worked by hand on images that are not square."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from transforms import BoxesToMaskd, DataError, RelativeToPeakd, boxes_to_mask, mask_to_boxes


def test_box_lies_at_x_and_y_of_a_columns_first_mask():
    mask = boxes_to_mask([[2, 1, 3, 2]], (7, 5))
    expected = np.zeros((7, 5), np.uint8)
    expected[2:5, 1:3] = 1
    np.testing.assert_array_equal(mask, expected)
    assert mask.dtype == np.uint8


@pytest.mark.parametrize(
    ("x", "width", "columns"),
    [
        (2.0, 1.0, [2]),
        (2.4, 1.2, [2, 3]),  # centres 2.5 and 3.5 lie in [2.4, 3.6)
        (2.5, 1.0, [2]),  # the left edge belongs to the box, the right does not: 2.5 is in [2.5, 3.5), 3.5 is not
        (2.6, 1.0, [3]),
        (-3.0, 4.0, [0]),
        (5.2, 90.0, [5, 6]),  # clipped: 5.5 and 6.5 are in
    ],
)
def test_pixel_belongs_to_a_box_if_its_centre_does(x, width, columns):
    mask = boxes_to_mask([[x, 0, width, 1]], (7, 1))
    assert np.flatnonzero(mask[:, 0]).tolist() == columns


def test_boxes_are_united_and_none_gives_an_empty_mask():
    assert boxes_to_mask([[0, 0, 3, 3], [1, 1, 3, 3]], (6, 6)).sum() == 9 + 9 - 4
    assert boxes_to_mask([], (6, 4)).sum() == 0


@pytest.mark.parametrize(
    ("box", "match"),
    [
        ([1, 1, 0, 2], "not positive"),
        ([1, 1, 2, -2], "not positive"),
        ([float("nan"), 1, 2, 2], "not finite"),
        ([1, 1, float("inf"), 2], "not finite"),
        ([1, 1, 2], "not four numbers"),
        ([8, 1, 2, 2], "covers no pixel of the image of 7 columns and 5 rows"),
        ([1, -4, 2, 2], "covers no pixel"),
        ([1.6, 1, 0.3, 2], "covers no pixel"),
    ],
)
def test_bad_box_is_refused_with_the_image_s_name(box, match):
    image = MetaTensor(torch.zeros(1, 7, 5), meta={"filename_or_obj": "some/image.dcm"})
    with pytest.raises(DataError, match=r"some/image\.dcm: box .*" + match):
        BoxesToMaskd()({"image": image, "boxes": [[0, 0, 2, 2], box]})


def test_mask_carries_the_geometry_of_its_image():
    affine = torch.diag(torch.tensor([-0.2, -0.4, 1.0, 1.0], dtype=torch.float64))
    image = MetaTensor(torch.zeros(1, 7, 5), affine=affine)
    result = BoxesToMaskd()({"image": image, "boxes": [[2, 1, 3, 2]]})
    assert set(result) == {"image", "label"}
    assert result["label"].shape == (1, 7, 5) and result["label"].sum() == 6
    torch.testing.assert_close(result["label"].affine, affine)


def test_boxes_from_a_mask():
    probability = np.zeros((60, 40))  # columns, rows
    probability[10:20, 5:9] = 0.6
    probability[30:36, 20:40] = 0.9
    probability[30, 20] = 0.5
    probability[50, 1] = 0.99  # one pixel of 2400 is below a thousandth of the image
    found = MetaTensor(torch.from_numpy(probability[None]))
    (first, a), (second, b) = mask_to_boxes(found, 0.5)
    assert a == (30, 20, 6, 20) and first == pytest.approx((119 * 0.9 + 0.5) / 120)
    assert b == (10, 5, 10, 4) and second == pytest.approx(0.6)
    assert [box for _, box in mask_to_boxes(found, 0.5, confidence=0.65)] == [a]


def test_a_box_is_as_sure_as_the_network_was_before_its_outline_was_drawn():
    before = torch.full((1, 20, 20), 0.1)
    before[0, 5:15, 5:15] = 0.48
    before[0, 8:12, 8:12] = 0.75  # 0.6 of it is 0.45, so the outline takes in all 100 pixels
    data = RelativeToPeakd("pred", 0.6, 0.5)({"image": MetaTensor(torch.zeros(1, 20, 20)), "pred": before})
    probability = MetaTensor(data["pred"], meta=data["image"].meta)
    assert probability[0, 5, 5] > 0.5 and probability.max() > 0.78
    ((confidence, box),) = mask_to_boxes(probability, 0.5)
    assert box == (5, 5, 10, 10) and confidence == pytest.approx((84 * 0.48 + 16 * 0.75) / 100, abs=1e-6)
    assert mask_to_boxes(probability, 0.5, confidence=0.53) == []
