"""The random map of each image, against SciPy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from transforms import RandWarpd

RNG = np.random.default_rng(0)
ITEM = {
    "image": torch.from_numpy(RNG.random((4, 1, 30, 20), np.float32)),
    "label": torch.from_numpy((RNG.random((4, 1, 30, 20)) < 0.5).astype(np.uint8)),
}


def moved(seed=1, prob=1.0, item=ITEM, **ranges):
    transform = RandWarpd(["image", "label"], prob, **ranges).set_random_state(seed)
    return transform, transform(item)


@pytest.mark.parametrize("elastic", [0.0, 0.05])
def test_is_scipy_s_map_of_each_image_though_not_square(elastic):
    ranges = {"mirror": 0.5, "rotate": 0.6, "shear": 0.3, "scale": 0.3, "stretch": 0.2, "shift": 0.2}
    transform, result = moved(prob=0.8, **ranges, elastic=elastic)
    position = np.indices((30, 20)).reshape(2, -1)
    centre, size = np.array([[14.5], [9.5]]), np.array([[30], [20]])
    for number in range(4):
        bend = torch.from_numpy(transform.bend[number])[None]
        bend = torch.nn.functional.interpolate(bend, size=(30, 20), mode="bicubic", align_corners=True)[0].reshape(
            2, -1
        )
        offset = (transform.offset[number][:, None] + bend.numpy()) * size
        source = centre + transform.matrix[number] @ (position - centre) + offset
        for key in ("image", "label"):
            pixels = ITEM[key][number, 0].numpy().astype(float)
            expected = map_coordinates(pixels, source, order=1, mode="grid-constant").reshape(30, 20)
            if key == "image":
                np.testing.assert_allclose(result[key][number, 0].numpy(), expected, atol=1e-4)
            else:
                clear = np.abs(expected - 0.5) > 1e-3
                np.testing.assert_array_equal(result[key][number, 0].numpy()[clear], (expected >= 0.5)[clear])
    assert result["label"].dtype == torch.uint8 and result["image"].dtype == torch.float32


def test_a_box_comes_where_a_quarter_turn_about_the_centre_puts_it():
    """Worked by hand: (x, y) of the result is (-y, x) of the image, counted from the centre."""
    image = torch.zeros(1, 1, 20, 20)
    image[0, 0, 2:6, 11:18] = 1
    transform = RandWarpd("image", 1.0).set_random_state(0)
    transform.randomize(1)
    transform.matrix[0] = [[0, -1], [1, 0]]
    transform.randomize = lambda number: None
    result = torch.nonzero(transform({"image": image})["image"][0, 0] > 0.5)
    # x_image = 19 - y, so y is 14..17 of 2..5; y_image = x, so x is 11..17
    assert result.amin(0).tolist() == [11, 14] and result.amax(0).tolist() == [17, 17] and len(result) == 4 * 7


def test_mirroring_alone_is_exact_for_masks_and_half_of_the_images_get_it():
    item = {key: value[:1].repeat(400, 1, 1, 1) for key, value in ITEM.items()}
    _, result = moved(prob=0.0, item=item, mirror=0.5)
    mirrored = (result["label"] == item["label"].flip(2)).flatten(1).all(1)
    as_it_was = (result["label"] == item["label"]).flatten(1).all(1)
    assert (mirrored ^ as_it_was).all() and mirrored.float().mean() == pytest.approx(0.5, abs=0.1)
    torch.testing.assert_close(result["image"][mirrored], item["image"][mirrored].flip(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(result["image"][as_it_was], item["image"][as_it_was], atol=1e-5, rtol=0)


def test_no_range_changes_nothing():
    for prob in (0.0, 1.0):
        _, result = moved(prob=prob, rotate=1.0 - prob)
        torch.testing.assert_close(result["image"], ITEM["image"], atol=1e-5, rtol=0)
        assert torch.equal(result["label"], ITEM["label"])


def test_angle_scale_shear_and_shift_are_uniform_and_independent():
    ranges = {"rotate": 0.3, "shear": 0.1, "scale": 0.3, "stretch": 0.2}
    transform = RandWarpd("image", 0.9, **ranges, shift=0.08, elastic=0.03).set_random_state(0)
    transform.randomize(5000)
    # rotation @ [[1, shear], [0, 1]] @ diag(a, b), taken apart
    matrix = transform.matrix
    angle = np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0])
    first = np.hypot(matrix[:, 0, 0], matrix[:, 1, 0])
    second = np.linalg.det(matrix) / first
    cosine, sine = np.cos(angle), np.sin(angle)
    shear = (cosine * matrix[:, 0, 1] + sine * matrix[:, 1, 1]) / second
    drawn = {"rotate": angle, "shear": shear, "scale": np.log(first * second) / 2, "stretch": np.log(first / second)}
    warped = transform.offset[:, 0] != 0
    assert warped.mean() == pytest.approx(0.9, abs=0.02) and np.abs(angle[~warped]).max() == 0
    for name, values in drawn.items():
        values = values[warped]
        assert np.abs(values).max() <= ranges[name] + 1e-9
        assert values.mean() == pytest.approx(0, abs=0.04 * ranges[name])
        assert values.std() == pytest.approx(ranges[name] / 3**0.5, rel=0.03)  # of a uniform distribution
    assert np.abs(np.corrcoef([*drawn.values(), *transform.offset.T]) - np.eye(6)).max() < 0.06
    assert transform.offset[warped].std() == pytest.approx(0.08 / 3**0.5, rel=0.03)
    assert (
        transform.bend[warped].std() == pytest.approx(0.03 / 3**0.5, rel=0.03) and np.abs(transform.bend).max() <= 0.03
    )


def test_what_is_unknown_in_a_mask_moves_with_it():
    """Each pixel is what the mask of lungs and the mask of unknown pixels become, each moved by itself."""
    lungs = torch.zeros(2, 1, 30, 20, dtype=torch.uint8)
    lungs[:, :, 5:22, 4:16] = 1
    unknown = torch.zeros_like(lungs)
    unknown[:, :, 12:22, 4:16] = 1
    ranges = {"mirror": 0.5, "rotate": 0.4, "scale": 0.2, "shift": 0.1, "elastic": 0.03}
    image = ITEM["image"][:2]
    both, alone, apart = (
        moved(seed=3, item={"image": image, "label": label}, **ranges)[1]["label"]
        for label in (lungs + unknown, lungs, unknown)
    )
    assert torch.equal(both, alone + alone * apart) and both.dtype == torch.uint8
    assert {0, 1, 2} == set(both.unique().tolist())
