"""Integers as what they mean on a display."""

from __future__ import annotations

import numpy as np
import torch
from monai.transforms import LoadImaged

from transforms import DisplayValuesd, RadiographReader
from transforms.grid.levels import LEVELS

RAMP = (np.arange(20 * 30).reshape(20, 30) * 6).astype(np.uint16)


def test_values_under_another_name_in_the_same_grid(write_dicom):
    path = write_dicom(RAMP, bits=12, PhotometricInterpretation="MONOCHROME1")
    load = LoadImaged("image", reader=RadiographReader(indexed=True), ensure_channel_first=True, dtype=None)
    data = DisplayValuesd("image", names="shown")(load({"image": path}))
    assert data["image"].dtype == torch.int16 and data["image"][0].T.tolist() == RAMP.tolist()
    np.testing.assert_allclose(data["shown"][0].T, 1 - RAMP / 4095, atol=1e-6)
    assert data["shown"].dtype == torch.float32 and torch.equal(data["shown"].affine, data["image"].affine)
    assert LEVELS in data["image"].meta and LEVELS not in data["shown"].meta
    assert data["shown"].meta["filename_or_obj"] == str(path)
