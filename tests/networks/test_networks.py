"""Networks made ready to run, weights from files, losses."""

from __future__ import annotations

import copy
import json
import logging

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.networks.nets import UNet

from networks import (
    FocalBCEDiceLoss,
    UNetWithHead,
    WeightsError,
    fast_precision,
    load_encoder,
    load_weights,
    prepare,
)


def unet(channels=(4, 8)):
    torch.manual_seed(0)
    return UNet(2, 1, 1, channels, (2,) * (len(channels) - 1), norm="BATCH")


IMAGE = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def test_prepared_network_computes_the_same_and_keeps_its_state_dict():
    plain, ready = unet().eval(), prepare(unet(), "cpu", "float32").eval()
    assert list(plain.state_dict()) == list(ready.state_dict())
    torch.testing.assert_close(ready(IMAGE), plain(IMAGE))


def test_bfloat16_is_used_inside_and_float32_comes_out():
    network = prepare(unet(), "cpu", "bfloat16").eval()
    seen = []
    convolution = next(m for m in network.modules() if isinstance(m, torch.nn.Conv2d))
    convolution.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    result = network(IMAGE)
    assert seen == [torch.bfloat16] and result.dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in network.parameters())
    exact = unet().eval()(IMAGE)
    assert not torch.equal(result, exact) and (result - exact).abs().max() < 0.05


def test_copy_of_a_prepared_network_is_a_network_of_its_own():
    network = prepare(unet(), "cpu", "float32").eval()
    twin = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert twin(IMAGE).abs().max() == 0 and network(IMAGE).abs().max() > 0


def test_precision_follows_the_processor():
    can = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    hardware = bool(can.get("amx_bf16") or can.get("avx512_bf16"))
    assert fast_precision("cpu") == (torch.bfloat16 if hardware else torch.float32)
    assert prepare(unet(), "cpu").autocast_dtype == fast_precision("cpu")
    with pytest.raises(ValueError, match="precision is 'half'"):
        prepare(unet(), "cpu", "half")


def test_compiled_network_keeps_its_state_dict_and_takes_what_monai_gives():
    network = prepare(unet(), "cpu", "float32", compile=True).eval()
    assert list(network.state_dict()) == list(unet().state_dict())
    affine = torch.diag(torch.tensor([2.0, 3.0, 1.0, 1.0], dtype=torch.float64))
    result = network(MetaTensor(IMAGE, affine=affine, meta={"filename_or_obj": "x.dcm"}))
    torch.testing.assert_close(result.as_tensor(), unet().eval()(IMAGE))
    assert result.meta["filename_or_obj"] == "x.dcm" and torch.equal(result.affine, affine)


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


def test_sum_of_losses_worked_by_hand():
    logits, target = torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    p = 1 / (1 + np.exp(-np.array([0.0, 2.0])))
    cross_entropy = -np.log([p[0], 1 - p[1]])
    focal = np.mean(np.array([1 - p[0], p[1]]) ** 2 * cross_entropy)
    dice = 1 - (2 * p[0] + 1e-5) / (1 + p.sum() + 1e-5)
    expected = focal + cross_entropy.mean() + dice
    assert FocalBCEDiceLoss()(logits, target).item() == pytest.approx(expected, abs=1e-5)


# The encoder of another training ------------------------------------------------------------------------------------


def test_encoder_is_taken_over_and_the_rest_is_left_alone(tmp_path):
    """Of three levels of residual units the convolutions of the way down, told by their places in MONAI's UNet."""
    source, network = (UNet(2, 1, 1, (4, 8, 16), (2, 2), num_res_units=2, norm="BATCH") for _ in range(2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.save(source.state_dict(), tmp_path / "model.pt")
    load_encoder(network, tmp_path / "model.pt")
    down = [source.model[0], source.model[1].submodule[0], source.model[1].submodule[1].submodule]
    taken = [network.model[0], network.model[1].submodule[0], network.model[1].submodule[1].submodule]
    for theirs, ours in zip(down, taken):
        for name, value in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], value)
    for prefix in ("model.2.", "model.1.submodule.2."):
        names = [name for name in before if name.startswith(prefix)]
        assert names and all(torch.equal(network.state_dict()[name], before[name]) for name in names)
    image = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(network.eval().model[0](image), source.eval().model[0](image))


def test_encoder_of_another_network_is_refused(tmp_path):
    torch.save(UNet(2, 1, 1, (4, 16), (2,), norm="BATCH").state_dict(), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="the weights are those of another network"):
        load_encoder(UNet(2, 1, 1, (4, 8), (2,), norm="BATCH"), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="an encoder can be loaded into MONAI's UNet, not into Linear"):
        load_encoder(torch.nn.Linear(1, 1), tmp_path / "model.pt")


def test_weights_of_other_settings_are_refused(tmp_path):
    torch.save(unet().state_dict(), tmp_path / "model.pt")
    (tmp_path / "model.json").write_text(json.dumps({"epoch": 3, "settings": {"image_size": 128, "window": [0, 1]}}))
    load_weights(unet(), tmp_path / "model.pt", image_size=128, window=[0, 1], unknown_then=5)
    with pytest.raises(WeightsError, match="was trained with image_size 128, and 256 is configured: give --image_size"):
        load_weights(unet(), tmp_path / "model.pt", image_size=256)


def test_sizes_that_do_not_halve_evenly_are_refused_in_words():
    network = UNetWithHead(2, 1, 1, (4, 8, 16), (2, 2), num_res_units=2, norm="BATCH")
    assert network(torch.rand(1, 1, 16, 20)).shape == (1, 1, 16, 20)
    with pytest.raises(ValueError, match="16 x 18 pixels.*multiple of 4. The nearest: height 16, width 16 or 20"):
        network(torch.rand(1, 1, 16, 18))


def test_linear_head_sees_all_features():
    """Each of the last features changes the logits, and the logits can be of any sign."""
    network = UNetWithHead(2, 1, 1, (4, 8), (2,), num_res_units=2, norm="BATCH").eval()
    assert network.head.in_channels == 4 and network.head.weight.abs().sum(dim=(0, 2, 3)).min() > 0
    logits = network(IMAGE)
    assert logits.shape == IMAGE.shape and logits.min() < logits.mean() < logits.max()
