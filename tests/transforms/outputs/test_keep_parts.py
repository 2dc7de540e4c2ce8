"""The largest parts of masks, and their holes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import FillHoles, KeepLargestConnectedComponent
from scipy import ndimage
from skimage.measure import label

from transforms import KeepPartsd
from transforms.outputs.keep_parts import keep_parts


def drawn(text: str) -> np.ndarray:
    return np.array([[int(c == "#") for c in line] for line in text.split()], np.uint8)


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
    assert np.array_equal(keep_parts(drawn(mask), number), drawn(expected))


def reference(mask: np.ndarray, number: int) -> np.ndarray:
    """By SciPy alone, pixel by pixel."""
    corners = np.ones((3, 3))
    parts, count = ndimage.label(mask, corners)
    sizes = ndimage.sum_labels(mask, parts, np.arange(1, count + 1))
    kept = np.isin(parts, 1 + np.argsort(-sizes, kind="stable")[:number])
    outside, _ = ndimage.label(np.pad(~kept, 1, constant_values=True), corners)
    return (outside != outside[0, 0])[1:-1, 1:-1].astype(np.uint8)


@pytest.mark.parametrize("smooth", [0, 0.7, 1.5, 4])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_random_masks_are_as_scipy_and_monai_make_them(smooth, number):
    """With up to hundreds of parts and holes, at the borders too."""
    random = np.random.default_rng(round(10 * smooth) + number)
    compared = 0
    for _ in range(40):
        shape = random.integers(1, 70, 2)
        noise = ndimage.gaussian_filter(random.normal(size=shape), smooth)
        mask = (noise > np.quantile(noise, random.random())).astype(np.uint8)
        found = keep_parts(mask, number)
        assert np.array_equal(found, reference(mask, number))
        sizes = np.sort(np.bincount(label(mask).ravel())[1:])[::-1]
        if len(sizes) > number and sizes[number - 1] == sizes[number]:
            continue  # which of them MONAI keeps is not said
        kept = KeepLargestConnectedComponent(num_components=number)(torch.from_numpy(mask)[None])
        assert np.array_equal(found, np.asarray(FillHoles()(kept))[0])
        compared += 1
    assert compared > 20


def test_the_dictionary_keeps_the_mask_s_file_and_leaves_its_input():
    mask = MetaTensor(torch.zeros(1, 4, 9, dtype=torch.uint8), meta={"filename_or_obj": "a.dcm"})
    mask[0, 1, 2:8] = mask[0, 3, 0] = 1
    before = mask.clone()
    found = KeepPartsd("pred", number=1)({"pred": mask, "other": 1})
    assert torch.equal(mask, before) and found["other"] == 1
    assert found["pred"].shape == (1, 4, 9) and found["pred"].dtype == torch.uint8
    assert found["pred"].meta["filename_or_obj"] == "a.dcm"
    assert torch.nonzero(found["pred"][0].as_tensor()).tolist() == [[1, y] for y in range(2, 8)]
