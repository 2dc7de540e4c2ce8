"""Networks made ready to run: precision, copies, compilation."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.data import MetaTensor
from monai.networks.nets import UNet

from networks import OutputError, fast_precision, prepare


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


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_output_that_is_not_finite_is_refused_wherever_nothing_is_learnt(bad, precision):
    network = prepare(unet(), "cpu", precision)
    image = IMAGE.clone()
    image[0, 0, 3, 5] = bad
    with torch.no_grad():
        with pytest.raises(OutputError, match="of 512 values .* not finite: the image holds such values itself"):
            network.eval()(image)
        with pytest.raises(OutputError, match=r"x\.dcm: .* the image holds"):
            network(MetaTensor(image, meta={"filename_or_obj": "x.dcm"}))
        with pytest.raises(OutputError):  # Monte Carlo dropout, say
            network.train()(image)
        next(network.parameters())[0] = bad
        with pytest.raises(OutputError, match="its weights are damaged"):
            network.eval()(IMAGE)
    network.train()(image)  # the loss tells


def test_weights_too_large_for_a_precision():
    network = prepare(unet(), "cpu", "float16").eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 1e4
        with pytest.raises(OutputError, match="set precision to float32"):
            network(IMAGE)


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


def test_what_monai_knows_of_an_image_comes_out_with_the_logits():
    affine = torch.diag(torch.tensor([2.0, 3.0, 1.0, 1.0], dtype=torch.float64))
    network = prepare(unet(), "cpu", "float32").eval()
    result = network(MetaTensor(IMAGE, affine=affine, meta={"filename_or_obj": "x.dcm"}))
    assert isinstance(result, MetaTensor) and not isinstance(network(IMAGE), MetaTensor)
    assert result.meta["filename_or_obj"] == "x.dcm" and torch.equal(result.affine, affine)
    torch.testing.assert_close(result.as_tensor(), unet().eval()(IMAGE))


def test_monte_carlo_dropout_draws_anew_and_leaves_batch_norm_alone():
    def network(**options):
        torch.manual_seed(0)
        return prepare(UNet(2, 1, 1, (4, 8), (2,), norm="BATCH", dropout=0.0), "cpu", "float32", **options)

    drawn = network(dropout=0.3)
    statistics = {name: value.clone() for name, value in drawn.state_dict().items() if "running" in name}
    drawn.train()
    assert not torch.equal(drawn(IMAGE), drawn(IMAGE))
    for name, value in statistics.items():
        assert torch.equal(drawn.state_dict()[name], value)
    torch.testing.assert_close(drawn.eval()(IMAGE), network().eval()(IMAGE))  # and prediction is as it was
    with pytest.raises(ValueError, match="Linear has no dropout layers"):
        prepare(torch.nn.Linear(1, 1), "cpu", dropout=0.3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_scripted_network_computes_in_float32_and_leaves_the_network_as_it_is(precision):
    network = prepare(unet(), "cpu", precision).eval()
    before = network(IMAGE)
    scripted = torch.jit.script(network)
    torch.testing.assert_close(scripted(IMAGE), unet().eval()(IMAGE))
    assert list(scripted.state_dict()) == list(network.state_dict())
    assert torch.equal(network(IMAGE), before)
    with pytest.raises(OutputError):
        network(IMAGE * float("nan"))  # it still checks


def test_a_network_can_be_exported_as_a_whole():
    network = prepare(unet(), "cpu", "float32").eval()
    program = torch.export.export(network, (IMAGE,))
    torch.testing.assert_close(program.module()(IMAGE), unet().eval()(IMAGE))


@pytest.mark.slow
def test_compiled_network_keeps_its_state_dict_and_takes_what_monai_gives():
    network = prepare(unet(), "cpu", "float32", compile=True).eval()
    assert list(network.state_dict()) == list(unet().state_dict())
    affine = torch.diag(torch.tensor([2.0, 3.0, 1.0, 1.0], dtype=torch.float64))
    result = network(MetaTensor(IMAGE, affine=affine, meta={"filename_or_obj": "x.dcm"}))
    torch.testing.assert_close(result.as_tensor(), unet().eval()(IMAGE))
    assert result.meta["filename_or_obj"] == "x.dcm" and torch.equal(result.affine, affine)
