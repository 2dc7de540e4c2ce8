"""The largest parts of what a network found, and their holes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import FillHoles, KeepLargestConnectedComponent
from scipy import ndimage
from skimage.measure import label

from transforms import KeepPartsd
from transforms.outputs.back_to_image import Axis, upsampled
from transforms.probabilities.keep_parts import keep_parts


def drawn(text: str) -> np.ndarray:
    return np.array([[int(c == "#") for c in line] for line in text.split()], np.float32)


@pytest.mark.parametrize(
    ("mask", "number", "expected"),
    [
        ("##.. ##.# ...#", 1, "##.. ##.. ...."),
        ("##.. ##.# ...#", 2, "##.. ##.# ...#"),
        ("#.. .#. ..#", 1, "#.. .#. ..#"),  # parts hang together by corners
        ("#..#. .##.. .....", 1, "#..#. .##.. ....."),
        ("##### #...# #.#.# #...# #####", 1, "##### ##### ##### ##### #####"),  # what lies in a hole is filled over
        (".###. #...# .###.", 1, ".###. #...# .###."),  # a hole that meets the outside at a corner is none
        ("####. #..#. ####. ....# .....", 1, "####. ####. ####. ....# ....."),
        ("###. #.#. ##.. ....", 1, "###. #.#. ##.. ...."),
        ("##### #.... #####", 1, "##### #.... #####"),  # nor is what reaches the border of the image
        ("#.# ... #.#", 3, "#.# ... #.."),  # of one size: the first are kept
        ("... ...", 2, "... ..."),
        ("### ###", 2, "### ###"),
        ("#", 1, "#"),
    ],
)
def test_parts_and_holes_by_hand(mask, number, expected):
    assert np.array_equal(keep_parts(drawn(mask), 0.5, number), drawn(expected))


def test_only_what_is_taken_away_or_filled_changes():
    probability = np.float32([[0.6, 0.2, 0.4], [0.7, 0.3, 0.49], [0.9, 0.1, 0.51], [0.5, 0.8, 0.2]])
    assert np.array_equal(keep_parts(probability, 0.5, 1), probability)  # by corners it is one part
    probability[3, 1] = 0.4
    expected = probability.copy()
    expected[2, 2] = 0
    assert np.array_equal(keep_parts(probability, 0.5, 1), expected)
    ring = np.full((5, 5), 0.6, np.float32)
    ring[2, 2] = 0.1
    assert keep_parts(ring, 0.5, 1)[2, 2] == 1 and keep_parts(ring, 0.7, 1).max() == np.float32(0.6)


@pytest.mark.parametrize("smooth", [0, 0.7, 1.5, 4])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_random_masks_are_as_monai_makes_them(smooth, number):
    """With up to hundreds of parts and holes, at the borders too."""
    random = np.random.default_rng(round(10 * smooth) + number)
    compared = 0
    for _ in range(40):
        shape = random.integers(1, 70, 2)
        noise = ndimage.gaussian_filter(random.normal(size=shape), smooth)
        mask = noise > np.quantile(noise, random.random())
        sizes = np.sort(np.bincount(label(mask).ravel())[1:])[::-1]
        if len(sizes) > number and sizes[number - 1] == sizes[number]:
            continue  # which of them MONAI keeps is not said
        kept = KeepLargestConnectedComponent(num_components=number)(torch.from_numpy(mask.astype(np.uint8))[None])
        found = keep_parts(mask.astype(np.float32), 0.5, number)
        assert np.array_equal(found, np.asarray(FillHoles()(kept))[0])
        compared += 1
    assert compared > 20


@pytest.mark.parametrize("size", [512, 701])
def test_in_the_image_s_grid_masks_are_those_that_monai_makes_there(size):
    """Of two lungs with holes in them and specks beside them."""
    random = np.random.default_rng(size)
    x, y = np.meshgrid(*[(np.arange(96) + 0.5) / 96] * 2, indexing="ij")
    lungs = sum(np.exp(-(((x - side) / 0.14) ** 2) - ((y - 0.5) / 0.3) ** 2) for side in (0.3, 0.7))
    axis = Axis(0, 96, size)
    for _ in range(10):
        specks = random.random(x.shape) < 0.004
        probability = np.where(specks, 1 - lungs, lungs).astype(np.float32)
        before, _ = upsampled(probability, axis, axis, 0.5, False)
        kept = KeepLargestConnectedComponent(num_components=2)(torch.from_numpy(before)[None])
        expected = np.asarray(FillHoles()(kept))[0]
        found, _ = upsampled(keep_parts(probability, 0.5, 2), axis, axis, 0.5, False)
        assert 2 * np.sum(found & expected) / (found.sum() + expected.sum()) > 0.9995


def test_the_dictionary_keeps_the_image_s_file_and_leaves_its_input():
    probability = MetaTensor(torch.zeros(1, 4, 9), meta={"filename_or_obj": "a.dcm"})
    probability[0, 1, 2:8] = probability[0, 3, 0] = 0.75
    before = probability.clone()
    found = KeepPartsd("pred", 0.5, number=1)({"pred": probability, "other": 1})
    assert torch.equal(probability, before) and found["other"] == 1
    assert found["pred"].shape == (1, 4, 9) and found["pred"].dtype == torch.float32
    assert found["pred"].meta["filename_or_obj"] == "a.dcm"
    assert torch.nonzero(found["pred"][0].as_tensor()).tolist() == [[1, y] for y in range(2, 8)]
