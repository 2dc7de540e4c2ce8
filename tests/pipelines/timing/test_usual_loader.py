"""A loader as people write one: it shows the network the bundle's own images, changed."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from pipelines.timing.usual_loader import usual_loaders
from tests.running import bundle_of, small


@pytest.fixture
def dataset(cohort, tmp_path):
    places = {"dataset_dir": str(cohort), "manifest": str(cohort / "manifest.json"), "cache_dir": str(tmp_path)}
    return bundle_of("pneumonia").read(["train"], **small("pneumonia"), **places).get_parsed_content("train#dataset")


def test_without_the_packages_there_is_no_loader_and_the_extra_is_named(dataset, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with usual_loaders(dataset, 4) as loaders:
        assert loaders == {}
    assert [record.getMessage().split(":")[-1] for record in caplog.records] == [" pip install radbundles[benchmark]"]


def test_batches_hold_the_images_and_their_masks(dataset):
    pytest.importorskip("albumentations")
    pytest.importorskip("cv2")
    with usual_loaders(dataset, 4) as loaders:
        assert [name.split(", ")[-1] for name in loaders] == ["1 worker", "2 workers"]
        pictures = next(iter(loaders.values())).dataset
        assert len(pictures) == len(dataset)
        batch = next(iter(loaders["PNG, OpenCV, albumentations, 1 worker"]))
        assert batch["image"].shape == batch["label"].shape == (4, 1, 32, 32)
        assert batch["image"].dtype == torch.float32 and 0 <= batch["image"].min() <= batch["image"].max() <= 1
        assert set(batch["label"].unique().tolist()) <= {0, 1}
        pictures.augment.transforms = []
        for index in (0, 5):
            item = dataset.read(index)
            for name in ("image", "label"):
                np.testing.assert_allclose(pictures[index][name][0].T, np.asarray(item[name][0]), atol=0.01)
