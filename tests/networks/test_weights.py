"""Weights from files: loaded, told of, and refused where they do not fit."""

from __future__ import annotations

import copy
import json
import logging

import pytest
import torch
from monai.networks.nets import UNet

from networks import WeightsError, load_weights


def unet(channels=(4, 8)):
    torch.manual_seed(0)
    return UNet(2, 1, 1, channels, (2,) * (len(channels) - 1), norm="BATCH")


def test_weights_are_loaded_and_what_they_are_is_told(tmp_path, caplog):
    source = unet()
    torch.save(source.state_dict(), tmp_path / "model.pt")
    (tmp_path / "model.json").write_text(json.dumps({"trained_on": "phantoms", "epoch": 3}))
    target = UNet(2, 1, 1, (4, 8), (2,), norm="BATCH")
    with caplog.at_level(logging.INFO):
        load_weights(target, tmp_path / "model.pt")
    for name, value in source.state_dict().items():
        torch.testing.assert_close(target.state_dict()[name], value)
    assert "trained_on phantoms, epoch 3" in caplog.text


def test_weights_of_another_network_are_refused_and_change_nothing(tmp_path):
    torch.save(unet((8, 16)).state_dict(), tmp_path / "other.pt")
    network = unet()
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(WeightsError, match=r"other\.pt: the weights are those of another network.*network_def"):
        load_weights(network, tmp_path / "other.pt")
    for name, value in before.items():
        torch.testing.assert_close(network.state_dict()[name], value)


class Payload:
    """What a malicious file would hold: an object whose loading runs code."""

    ran = False

    def __reduce__(self):
        return setattr, (Payload, "ran", True)


def test_files_that_hold_no_weights_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        load_weights(unet(), tmp_path / "gone.pt")
    (tmp_path / "noise.pt").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=r"noise\.pt: cannot be loaded"):
        load_weights(unet(), tmp_path / "noise.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(WeightsError, match="not a state dict"):
        load_weights(unet(), tmp_path / "tensor.pt")
    torch.save({"x": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_weights(unet(), tmp_path / "evil.pt")
    assert not Payload.ran


def test_weights_of_other_settings_are_refused(tmp_path):
    torch.save(unet().state_dict(), tmp_path / "model.pt")
    (tmp_path / "model.json").write_text(json.dumps({"epoch": 3, "settings": {"image_size": 128, "window": [0, 1]}}))
    load_weights(unet(), tmp_path / "model.pt", image_size=128, window=[0, 1], unknown_then=5)
    with pytest.raises(WeightsError, match="was trained with image_size 128, and 256 is configured: give --image_size"):
        load_weights(unet(), tmp_path / "model.pt", image_size=256)


@pytest.mark.parametrize("text", ["{ no JSON", "", "[]"])
def test_what_stands_beside_the_weights_must_be_readable(tmp_path, text):
    torch.save(unet().state_dict(), tmp_path / "model.pt")
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(WeightsError, match=r"model\.json: (is not JSON|holds a list).*Copy it again"):
        load_weights(unet(), tmp_path / "model.pt")
