"""How many processes load images: what a bundle's loaders get."""

from __future__ import annotations

import pytest
import torch

from pipelines import loader_workers
from tests.running import BUNDLES, bundle_of


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
