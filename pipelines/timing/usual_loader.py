"""A loader as people write one: PNG files made once, OpenCV, albumentations, PyTorch's DataLoader."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..training.cached_dataset import CachedDataset
from ..training.cached_slices import CachedSlices

logger = logging.getLogger(__name__)

WORKERS = (1, 2)
EXTRA = "left out the ways with OpenCV and albumentations: pip install radbundles[benchmark]"


class Pictures(Dataset):
    """Pairs of PNG files, image and mask, read by OpenCV and augmented by albumentations.

    Args:
        folder: with ``N_image.png`` and ``N_label.png``.
        count: of pairs.
    """

    def __init__(self, folder: Path, count: int):
        os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # or it asks a server for newer versions
        import albumentations as A  # noqa: N812  # as its users do

        self.folder, self.count = folder, count
        # about as strong as what the bundles do
        self.augment = A.Compose(
            [
                A.HorizontalFlip(p=0.5),
                A.Affine(scale=(0.85, 1.15), rotate=(-12, 12), shear=(-6, 6), translate_percent=(-0.06, 0.06), p=0.8),
                A.ElasticTransform(alpha=40, sigma=10, p=0.3),
                A.RandomGamma(gamma_limit=(60, 170), p=0.6),
                A.GaussNoise(std_range=(0.01, 0.05), p=0.3),
            ]
        )

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Image and label, float32 of shape (1, rows, columns), 0 to 1."""
        import cv2

        image, label = (
            cv2.imread(str(self.folder / f"{index}_{name}.png"), cv2.IMREAD_GRAYSCALE) for name in ("image", "label")
        )
        changed = self.augment(image=image, mask=label)
        return {
            "image": torch.from_numpy(changed["image"][None].astype(np.float32) / 255),
            "label": torch.from_numpy((changed["mask"][None] > 127).astype(np.float32)),
        }


@contextmanager
def usual_loaders(dataset: Dataset[Any], batch_size: int) -> Iterator[dict[str, DataLoader[Any]]]:
    """Loaders of the radiographs that a bundle trains on, by their names.

    There are none for CT, and none, but a warning, where a package is missing.

    Args:
        dataset: a CachedDataset, whose images become PNG files, in the network's size, before anything is timed.
        batch_size: of the loaders.
    """
    if not isinstance(dataset, CachedDataset) or isinstance(dataset, CachedSlices):
        yield {}
        return
    try:
        import albumentations  # noqa: F401
        import cv2
    except ImportError:
        logger.warning(EXTRA)
        yield {}
        return
    with TemporaryDirectory() as folder:
        for index in range(len(dataset)):
            item = dataset.read(index)
            for name in ("image", "label"):
                picture = (np.asarray(item[name][0], np.float32).T * 255).round().astype(np.uint8)
                cv2.imwrite(f"{folder}/{index}_{name}.png", picture)
        pictures = Pictures(Path(folder), len(dataset))
        yield {
            f"PNG, OpenCV, albumentations, {workers} worker{'s' * (workers > 1)}": DataLoader(
                pictures, batch_size, shuffle=True, num_workers=workers, persistent_workers=True
            )
            for workers in WORKERS
        }
