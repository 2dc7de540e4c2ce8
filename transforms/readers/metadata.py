"""What MONAI's transforms need to know of an image that a reader has read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from monai.utils import MetaKeys, SpaceKeys

PICTURE_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])  # x to the left of the patient and y to the feet, in pixels


def metadata(affine: np.ndarray, shape: Sequence[int]) -> dict[str, Any]:
    """The metadata of an array without channels.

    Args:
        affine: (4, 4), from the index to millimetres, or to pixels, in RAS.
        shape: of the array.
    """
    return {
        MetaKeys.AFFINE: affine.copy(),
        MetaKeys.ORIGINAL_AFFINE: affine.copy(),
        MetaKeys.SPACE: SpaceKeys.RAS.value,
        MetaKeys.SPATIAL_SHAPE: np.asarray(shape),
        MetaKeys.ORIGINAL_CHANNEL_DIM: "no_channel",
    }
