"""The encoder of another training."""

from __future__ import annotations

import logging

import pytest
import torch
from monai.networks.nets import UNet

from networks import UNetWithHead, WeightsError, load_encoder


def test_encoder_is_taken_over_and_the_rest_is_left_alone(tmp_path):
    """Of three levels of residual units the convolutions of the way down, told by their places in MONAI's UNet."""
    source, network = (UNet(2, 1, 1, (4, 8, 16), (2, 2), num_res_units=2, norm="BATCH") for _ in range(2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.save(source.state_dict(), tmp_path / "model.pt")
    load_encoder(network, tmp_path / "model.pt")
    down = [source.model[0], source.model[1].submodule[0], source.model[1].submodule[1].submodule]
    taken = [network.model[0], network.model[1].submodule[0], network.model[1].submodule[1].submodule]
    for theirs, ours in zip(down, taken, strict=True):
        for name, value in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], value)
    for prefix in ("model.2.", "model.1.submodule.2."):
        names = [name for name in before if name.startswith(prefix)]
        assert names and all(torch.equal(network.state_dict()[name], before[name]) for name in names)
    image = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(network.eval().model[0](image), source.eval().model[0](image))


def test_only_an_optional_encoder_may_be_missing(tmp_path, caplog):
    network = UNet(2, 1, 1, (4, 8), (2,), norm="BATCH")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert load_encoder(network, tmp_path / "gone.pt", optional=tmp_path / "gone.pt") is network
    assert "gone.pt: no such file: training starts from random weights" in caplog.text
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert load_encoder(network, "") is network and "no encoder was given: training starts from" in caplog.text
    with pytest.raises(WeightsError, match=r"gone\.pt: no such file"):
        load_encoder(network, tmp_path / "gone.pt")
    with pytest.raises(WeightsError, match=r"gone\.pt: no such file"):  # somebody has given it by name
        load_encoder(network, tmp_path / "gone.pt", optional=tmp_path / "default.pt")
    (tmp_path / "damaged.pt").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"damaged\.pt: cannot be loaded"):
        load_encoder(network, tmp_path / "damaged.pt", optional=tmp_path / "damaged.pt")


def test_encoder_of_another_network_is_refused(tmp_path):
    torch.save(UNet(2, 1, 1, (4, 16), (2,), norm="BATCH").state_dict(), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="the weights are those of another network"):
        load_encoder(UNet(2, 1, 1, (4, 8), (2,), norm="BATCH"), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="an encoder can be loaded into MONAI's UNet, not into Linear"):
        load_encoder(torch.nn.Linear(1, 1), tmp_path / "model.pt")


@pytest.mark.parametrize("with_head", [True, False])
def test_the_head_is_left_alone_whether_the_other_network_had_one(tmp_path, caplog, with_head):
    def network():
        return UNetWithHead(2, 1, 1, (4, 8), (2,), num_res_units=2, norm="BATCH")

    own, source = network(), network() if with_head else UNet(2, 1, 1, (4, 8), (2,), num_res_units=2, norm="BATCH")
    before = {name: value.clone() for name, value in own.state_dict().items()}
    torch.save(source.state_dict(), tmp_path / "model.pt")
    with caplog.at_level(logging.INFO):
        assert load_encoder(own, tmp_path / "model.pt") is own
    after = own.state_dict()
    assert torch.equal(after["head.weight"], before["head.weight"])
    taken = [name for name in before if name.startswith(("model.0.", "model.1.submodule."))]
    assert all(torch.equal(after[name], source.state_dict()[name]) for name in taken)
    assert f"model.pt: {len(taken)} of {len(before)} tensors" in caplog.text


def test_a_file_that_does_not_fit_changes_nothing(tmp_path):
    network = UNet(2, 1, 1, (4, 8), (2,), norm="BATCH")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = UNet(2, 1, 1, (4, 8), (2,), norm="BATCH").state_dict()
    del state["model.0.conv.bias"]
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=r"model.pt: .*1 differences, the first: it lacks model.0.conv.bias"):
        load_encoder(network, tmp_path / "model.pt")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
