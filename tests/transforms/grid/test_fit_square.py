"""Images on a square and back, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from transforms.grid.fit_square import MASK, FitSquare


def tensor(values):
    return MetaTensor(torch.tensor(values, dtype=torch.float32)[None])


def test_small_mask_is_doubled_and_lies_in_the_middle():
    fit = FitSquare(8, axes=2)
    mask = tensor([[1, 2], [3, 4], [5, 6], [7, 8]])  # 4 columns, 2 rows
    fitted = fit(mask, MASK)
    expected = np.zeros((8, 8), np.float32)
    expected[:, 2:6] = np.kron(mask[0].numpy(), np.ones((2, 2)))
    assert fitted[0].numpy().tolist() == expected.tolist()
    assert torch.equal(fit.inverse(fitted).as_tensor(), mask.as_tensor())


def test_odd_padding_has_its_larger_half_behind():
    fitted = FitSquare(4, axes=2)(tensor([[1], [2], [3], [4]]), MASK)
    assert fitted[0].tolist() == [[0, 1, 0, 0], [0, 2, 0, 0], [0, 3, 0, 0], [0, 4, 0, 0]]


def test_what_has_the_size_already_passes_unchanged():
    image = tensor(np.random.default_rng(0).random((6, 6)))
    for mode in ("bilinear", MASK):
        assert torch.equal(FitSquare(6, axes=2)(image, mode).as_tensor(), image.as_tensor())


def test_images_are_smoothed_before_they_get_smaller_and_masks_are_not():
    stripes = tensor(np.tile([[0.0], [0.0], [0.0], [1.0]], (16, 64)))  # one column in four
    inside = slice(2, -2)
    image = FitSquare(16, axes=2)(stripes, "bilinear")[0, inside, inside]
    assert np.abs(image.numpy() - 0.25).max() < 0.05  # without smoothing 0 or 0.5
    mask = FitSquare(16, axes=2)(stripes, MASK)[0]
    assert set(mask.unique().tolist()) <= {0.0, 1.0}


def test_slices_along_the_third_axis_stay_apart():
    values = torch.arange(1.0, 4).expand(4, 2, 3)[None]  # the number of its slice in each
    fit = FitSquare(8, axes=3)
    for mode in ("trilinear", MASK):
        fitted = fit(MetaTensor(values.clone()), mode)
        assert fitted.shape == (1, 8, 8, 3)
        torch.testing.assert_close(fitted[:, :, 2:6].as_tensor(), torch.arange(1.0, 4).expand(1, 8, 4, 3))
        assert not fitted[:, :, :2].any() and not fitted[:, :, 6:].any()
        torch.testing.assert_close(fit.inverse(fitted).as_tensor(), values)


@pytest.mark.parametrize("shape", [(90, 1), (1, 90)])
def test_a_line_keeps_a_pixel_and_comes_back(shape):
    fit = FitSquare(8, axes=2)
    fitted = fit(MetaTensor(torch.ones(1, *shape)), MASK)
    assert fitted.shape == (1, 8, 8) and fitted.sum() == 8
    assert fit.inverse(fitted).shape == (1, *shape)
