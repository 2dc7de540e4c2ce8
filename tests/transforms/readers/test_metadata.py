"""The metadata of what readers have read."""

from __future__ import annotations

import numpy as np
from monai.data import MetaTensor
from monai.utils import MetaKeys

from transforms.readers.metadata import PICTURE_AFFINE, metadata


def test_monai_knows_the_place_and_nothing_is_shared():
    affine = np.diag([-0.5, -0.7, 2.0, 1.0])
    meta = metadata(affine, (4, 6, 3))
    assert np.array_equal(MetaTensor(np.zeros((4, 6, 3)), meta=meta).affine, affine)
    assert meta[MetaKeys.SPATIAL_SHAPE].tolist() == [4, 6, 3] and meta[MetaKeys.ORIGINAL_CHANNEL_DIM] == "no_channel"
    meta[MetaKeys.AFFINE][0, 0] = 9
    assert affine[0, 0] == meta[MetaKeys.ORIGINAL_AFFINE][0, 0] == -0.5
    metadata(PICTURE_AFFINE, (1, 1))[MetaKeys.AFFINE][0, 0] = 9
    assert PICTURE_AFFINE[0, 0] == -1
