"""Probabilities in the network's grid as masks in that of the image's file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import AsDiscreted, Compose, Invertd, LoadImaged
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from transforms import BackToImaged, FitRadiographd, RadiographReader, RelativeToPeakd, mask_to_boxes

SIZE = 32


@pytest.fixture
def fitted(tmp_path):
    """Gives the preprocessing, and what it makes of an image of so many columns and rows."""

    def of(columns: int, rows: int):
        values = np.random.default_rng(0).integers(0, 255, (rows, columns), np.uint8)
        Image.fromarray(values).save(tmp_path / "a.png")
        reader = RadiographReader(unknown_spacing="pixels")
        steps = Compose(
            [
                LoadImaged("image", reader=reader, ensure_channel_first=True),
                FitRadiographd("image", SIZE, (0.5, 99.5), mode="bilinear"),
            ]
        )
        return steps, steps({"image": str(tmp_path / "a.png")})

    return of


def probability(image, seed: int, smooth: float = 2) -> MetaTensor:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(SIZE, SIZE)), smooth)
    values = (noise - noise.min()) / np.ptp(noise)
    return MetaTensor(torch.from_numpy(values.astype(np.float32))[None], meta=dict(image.meta))


SHAPES = [(96, 96), (120, 75), (75, 120), (41, 300), (300, 7), (20, 11), (32, 32), (500, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 0.999])
def test_masks_and_probabilities_are_those_of_monai_s_inverse(fitted, shape, threshold):
    steps, data = fitted(*shape)
    for seed, smooth in enumerate((0, 1, 4)):
        pred = probability(data["image"], seed, smooth)
        before = Invertd("pred", steps, orig_keys="image", nearest_interp=False)({**data, "pred": pred})
        expected = AsDiscreted("pred", threshold=threshold)(dict(before))["pred"]
        found = BackToImaged("pred", threshold)({**data, "pred": pred})
        kept = BackToImaged("pred", threshold, probability_key="probability")({**data, "pred": pred})
        assert found["pred"].shape == kept["probability"].shape == (1, *shape)
        assert found["pred"].dtype == torch.uint8 and "probability" not in found
        np.testing.assert_allclose(kept["probability"], before["pred"], atol=1e-6)
        sure = (before["pred"] - threshold).abs() > 1e-6
        assert torch.equal(found["pred"][sure] > 0, expected[sure] > 0)
        assert torch.equal(found["pred"].as_tensor(), kept["pred"].as_tensor())
        assert torch.equal(kept["pred"] > 0, kept["probability"] >= threshold)
        assert torch.allclose(found["pred"].affine, before["pred"].affine)
        assert found["pred"].meta["filename_or_obj"] == data["image"].meta["filename_or_obj"]


def test_values_lie_where_scipy_interpolates_them(fitted):
    """The centre of the pixel i of n is (i + 0.5) / n along the side; beyond the outer centres the border goes on."""
    columns, rows = 120, 75
    _, data = fitted(columns, rows)
    pred = probability(data["image"], 3)
    found = BackToImaged("pred", 0.5, probability_key="probability")({**data, "pred": pred})["probability"][0]
    lines = 20  # 75 / 120 x 32, between 6 lines of padding on both sides
    x, y = np.meshgrid((np.arange(columns) + 0.5) * SIZE / columns - 0.5, (np.arange(rows) + 0.5) * lines / rows - 0.5)
    inside = np.asarray(pred[0, :, 6 : 6 + lines])
    expected = map_coordinates(inside, [x.T, y.T], order=1, mode="nearest")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_image_that_was_turned_is_not_taken_for_one_that_was_resized(fitted):
    _, data = fitted(40, 30)
    data["image"].affine = data["image"].affine @ torch.diag(torch.tensor([1.03, 1, 1, 1], dtype=torch.float64))
    with pytest.raises(ValueError, match="a.png: the image was not only resized and padded"):
        BackToImaged("pred", 0.5)({**data, "pred": probability(data["image"], 0)})


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_a_temperature_is_applied_in_the_image_s_grid(fitted, threshold):
    """Masks at 0.5 stay the same to the pixel; others are those of the probabilities that come with them."""
    _, data = fitted(120, 75)
    pred = probability(data["image"], 0)
    plain = BackToImaged("pred", threshold, probability_key="probability")({**data, "pred": pred})
    found = BackToImaged("pred", threshold, probability_key="probability", temperature=2.0)({**data, "pred": pred})
    p = np.asarray(plain["probability"], float)
    odds = np.sqrt(p / np.maximum(1 - p, 1e-12))
    np.testing.assert_allclose(found["probability"], odds / (1 + odds), atol=1e-5)
    assert torch.equal(found["pred"], plain["pred"]) == (threshold == 0.5)
    sure = (found["probability"] - threshold).abs() > 1e-5
    assert torch.equal(found["pred"][sure] > 0, found["probability"][sure] >= threshold)


def test_a_box_is_as_sure_as_the_network_with_its_temperature_whatever_shift_drew_the_outline(fitted):
    steps, data = fitted(60, 60)
    data["pred"] = MetaTensor(torch.full((1, SIZE, SIZE), 0.7))
    shifted = RelativeToPeakd("pred", 0.6, 0.5)(data)
    assert float(shifted["pred"].max()) > 0.75
    found = BackToImaged("pred", 0.5, probability_key="probability", temperature=0.5)(shifted)["probability"]
    ((confidence, box),) = mask_to_boxes(found, 0.5)
    assert box == (0, 0, 60, 60)
    ((as_evaluated, _),) = mask_to_boxes(Invertd("pred", steps, orig_keys="image")(shifted)["pred"], 0.5)
    assert as_evaluated == pytest.approx(0.7, abs=1e-5)
    assert confidence == pytest.approx(49 / 58, abs=1e-5)  # odds of 7 to 3, squared
