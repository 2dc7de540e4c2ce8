"""How batches come to a network: by how many processes, of what type, and changed at random on its device."""

from __future__ import annotations

import pytest
import torch
from monai.transforms import RandFlipd

from pipelines import BatchOnDevice, loader_workers
from tests.running import BUNDLES, RADIOGRAPHS, bundle_of
from transforms import DataError, RandWarpd


def test_a_cpu_is_left_to_the_network_and_a_gpu_is_fed():
    assert loader_workers("cpu") == loader_workers(torch.device("cpu")) == 0
    assert loader_workers("cuda:1") == loader_workers(torch.device("cuda")) > 0  # wherever there is none


@pytest.mark.parametrize("name", BUNDLES)
def test_every_bundle_goes_by_its_device(name):
    for device, workers in (("cpu", 0), ("cuda", loader_workers("cuda"))):
        config = bundle_of(name).read(["train"], device=device)
        assert config.get_parsed_content("num_workers") == workers
        loaders = [part for part in ("train", "validate", "test") if f"{part}#dataloader" in config]
        assert loaders[:2] == ["train", "validate"]
        assert {config[f"{part}#dataloader#num_workers"] for part in loaders} == {"@num_workers"}
        assert config.get_parsed_content("pin_memory") == (device == "cuda")
        assert {config[f"{part}#dataloader#pin_memory"] for part in loaders} == {"@pin_memory"}


@pytest.fixture
def batch():
    """As the cache's items make one: the first column is white, and inside."""
    image = torch.zeros(40, 1, 6, 4, dtype=torch.uint16)
    image[:, :, 0] = 65535
    return {"image": image, "label": (image.float() > 0).to(torch.uint8)}


def test_images_come_as_0_to_1_and_labels_as_floating_point(batch):
    image, label = BatchOnDevice()(batch, "cpu", non_blocking=True)
    assert image.dtype == label.dtype == torch.float32 and type(image) is torch.Tensor
    assert torch.equal(image, label) and image[:, :, 0].eq(1).all() and image[:, :, 1:].eq(0).all()
    scaled = {**batch, "image": torch.full((40, 1, 6, 4), 1.2)}  # not of the cache's integers: stays as it is
    assert BatchOnDevice()(scaled)[0] is scaled["image"]


def test_image_and_label_are_changed_together(batch):
    transform = RandWarpd(["image", "label"], 0.0, mirror=0.5).set_random_state(0)
    image, label = BatchOnDevice([transform])(batch, "cpu")
    torch.testing.assert_close(image, label, atol=1e-5, rtol=0)
    assert 5 < label[:, 0, -1].any(1).sum() < 35


def test_transforms_of_single_images_are_refused():
    """On a batch they would take its first axis for channels, and change something else."""
    with pytest.raises(DataError, match="RandFlipd changes single images"):
        BatchOnDevice([RandFlipd(["image", "label"])])


@pytest.mark.parametrize("name", RADIOGRAPHS)
def test_radiographs_are_augmented_in_training_alone(name):
    config = bundle_of(name).read(["train"])
    parts = {
        part: config.get_parsed_content(f"{part}#prepare_batch") for part in ("train#trainer", "validate#evaluator")
    }
    assert [type(prepare) for prepare in parts.values()] == [BatchOnDevice, BatchOnDevice]
    assert len(parts["train#trainer"].transforms) >= 4 and parts["validate#evaluator"].transforms == []
    usual = bundle_of(name).read(["train", "usual_way"]).get_parsed_content("train#trainer#prepare_batch")
    assert usual.transforms == []
