"""A threshold that is a share of an image's highest probability."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from sklearn.metrics import roc_auc_score

from transforms import RelativeToPeakd


def relative(values, share=0.6, threshold=0.5):
    before = MetaTensor(torch.tensor([values], dtype=torch.float32), meta={"filename_or_obj": "a.dcm"})
    data = {"image": MetaTensor(torch.zeros_like(before)), "pred": before}
    shifted = RelativeToPeakd("pred", share, threshold)(data)["pred"]
    assert shifted.shape == before.shape and shifted.meta == before.meta
    return shifted.as_tensor()[0].numpy()


def test_a_mask_reaches_to_the_share_of_the_peak():
    values = [[0.75, 0.46], [0.44, 0.0], [0.2, 0.1]]  # 0.6 of 0.75 is 0.45
    assert np.array_equal(relative(values) >= 0.5, [[True, True], [False, False], [False, False]])
    assert np.array_equal(np.float32(values) >= 0.5, [[True, False], [False, False], [False, False]])
    # odds of 3, 1 to 3 and 0, each divided by those of 0.45, 9 to 11
    shifted = relative([[0.75, 0.25, 0.0]])
    assert shifted[0] == pytest.approx([3 / (9 / 11) / (1 + 3 / (9 / 11)), (11 / 27) / (1 + 11 / 27), 0], abs=1e-6)


def test_a_sure_finding_is_not_drawn_larger_than_its_peak_tells():
    assert np.array_equal(relative([[1.0, 0.61, 0.59, 0.2]]) >= 0.5, [[True, True, False, False]])


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_the_share_comes_to_any_threshold(threshold):
    inside = relative([[0.8, 0.49, 0.47, 0.1]], threshold=threshold) >= threshold  # 0.6 of 0.8 is 0.48
    assert np.array_equal(inside, [[True, True, False, False]])


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_an_image_below_the_threshold_stays_as_it_is(threshold):
    values = np.float32([[threshold - 0.01, 0.2], [0.1, 0.0]])
    assert np.array_equal(relative(values, threshold=threshold), values)
    assert relative([[threshold + 0.01, 0.2]], threshold=threshold)[0, 0] > threshold


def test_the_order_of_images_by_their_peak_stays():
    random = np.random.default_rng(0)
    images = random.uniform(size=(300, 8, 8)) ** random.uniform(1, 40, size=(300, 1, 1))
    truth = random.uniform(size=300) < images.max(axis=(1, 2))
    before = roc_auc_score(truth, images.max(axis=(1, 2)))
    assert roc_auc_score(truth, [relative(image).max() for image in images]) == pytest.approx(before, abs=1e-9)


@pytest.mark.parametrize(("share", "threshold", "named"), [(0, 0.5, "share"), (1, 0.5, "share"), (0.6, 1, "threshold")])
def test_numbers_that_mean_nothing_are_refused(share, threshold, named):
    with pytest.raises(ValueError, match=f"{named}.* is {share if named == 'share' else threshold}: give a number"):
        RelativeToPeakd("pred", share, threshold)
