"""Masks with the axes of their images' files."""

from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor

from transforms import AsInFiled


def test_masks_get_the_axes_of_their_file():
    image = MetaTensor(torch.zeros(1, 3, 2), meta={"file_shape": np.array([3, 2, 1]), "spatial_shape": [3, 2]})
    mask = torch.arange(6).reshape(1, 3, 2)
    done = AsInFiled("pred")({"image": image, "pred": mask})
    assert done["pred"].shape == (3, 2, 1) and done["pred"].flatten().tolist() == list(range(6))
    assert done["image"].meta["spatial_shape"].tolist() == [3, 2, 1]
    assert AsInFiled("pred")({"image": image, "pred": mask[:, :2]})["pred"].shape == (1, 2, 2)


def test_masks_of_pictures_lose_their_channel_and_other_grids_pass():
    image = MetaTensor(torch.zeros(1, 3, 2), meta={"file_shape": np.array([3, 2]), "spatial_shape": [3, 2]})
    mask = torch.arange(6).reshape(1, 3, 2)
    done = AsInFiled(["pred", "other"])({"image": image, "pred": mask, "other": torch.zeros(1, 2, 3)})
    assert torch.equal(done["pred"], mask[0]) and done["other"].shape == (1, 2, 3)
    assert done["image"].meta["spatial_shape"].tolist() == [3, 2]
