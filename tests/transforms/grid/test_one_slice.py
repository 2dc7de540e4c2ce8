"""Pictures of single slices as volumes of one slice."""

from __future__ import annotations

import torch
from monai.data import MetaTensor
from monai.transforms import Flip

from transforms import OneSliced


def test_a_picture_becomes_a_volume_of_one_slice_in_the_same_place():
    affine = torch.diag(torch.tensor([-0.7, -0.9, 1, 1], dtype=torch.float64))
    values = torch.arange(6.0).reshape(1, 3, 2)
    item = {"image": MetaTensor(values, affine=affine, meta={"filename_or_obj": "a.png"}), "patient_id": "p"}
    item["label"] = MetaTensor(values.to(torch.uint8), affine=affine)
    done = OneSliced(["image", "label"])(item)
    for key in ("image", "label"):
        assert done[key].shape == (1, 3, 2, 1) and done[key].dtype == item[key].dtype
        assert torch.equal(done[key].as_tensor()[..., 0], item[key].as_tensor())
        assert torch.equal(done[key].affine, affine)
    assert done["image"].meta["filename_or_obj"] == "a.png" and done["patient_id"] == "p"
    assert item["image"].shape == (1, 3, 2)


def test_what_moved_pixels_before_is_not_undone_afterwards():
    flipped = Flip(0)(MetaTensor(torch.arange(6.0).reshape(1, 3, 2)))
    assert flipped.applied_operations and not OneSliced("image")({"image": flipped})["image"].applied_operations
