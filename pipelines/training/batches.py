"""How batches come to a network: by how many processes they are loaded, and what happens to them on its device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from monai.engines import PrepareBatch, default_prepare_batch

from transforms import DataError, RandBatchd

from .cached_dataset import from_16_bits

BESIDE_A_GPU = 4


def loader_workers(device: torch.device | str) -> int:
    """None beside a CPU, whose cores the network needs; some beside a GPU, which would wait otherwise."""
    return 0 if torch.device(device).type == "cpu" else BESIDE_A_GPU


class BatchOnDevice(PrepareBatch):
    """``prepare_batch`` of MONAI's engines: moves images and labels to the device, and changes them there at random.

    Images come out as float32, 0 to 1 where they came in 16 bits; labels as float32. :class:`TrainingState` seeds the
    transforms for each step.

    Args:
        transforms: random transforms of batches, of ``image`` and ``label``, each (B, 1, x, y).

    Raises:
        DataError: if one of them takes single images.
    """

    def __init__(self, transforms: Sequence[RandBatchd] = ()):
        for transform in transforms:
            if not isinstance(transform, RandBatchd):
                raise DataError(
                    f"train#random_transforms: {type(transform).__name__} changes single images, and these transforms "
                    "get whole batches. Take one of transforms.Rand...d, or derive it from transforms.RandBatchd."
                )
        self.transforms = list(transforms)

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch's image and label."""
        moved = default_prepare_batch(batchdata, device, non_blocking, **kwargs)
        image, label = cast(tuple[torch.Tensor, torch.Tensor], moved)
        batch = {"image": from_16_bits(image), "label": label}
        for transform in self.transforms:
            batch = transform(batch)
        return batch["image"], batch["label"].to(torch.float32)
