"""MobileNetV3-Large as an encoder: names, shapes and features of the known model, weights from files."""

from __future__ import annotations

import json
import math
import sys

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import FlexibleUNet

import networks
from networks import MobileNetV3LargeEncoder, WeightsError, load_imagenet_encoder, prepare

BACKBONE = "mobilenetv3_large_100"


def unet(in_channels=3, **options) -> FlexibleUNet:
    return FlexibleUNet(in_channels, 6, BACKBONE, pretrained=False, spatial_dims=2, **options)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Those of an encoder that no other is like, and the classifier that files of whole models have."""
    torch.manual_seed(7)
    state = {name: torch.rand_like(value, dtype=torch.float32) for name, value in encoder_state().items()}
    state |= {"conv_head.weight": torch.zeros(1280, 960, 1, 1), "conv_head.bias": torch.zeros(1280)}
    return state | {"classifier.weight": torch.zeros(1000, 1280), "classifier.bias": torch.zeros(1000)}


def encoder_state() -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        state = MobileNetV3LargeEncoder().state_dict()
    return {name: torch.empty(value.shape, dtype=value.dtype) for name, value in state.items()}


@pytest.fixture(scope="session")
def reference(real_data) -> dict:
    """Names and shapes of the model in timm, and its features for weights made by a formula."""
    path = real_data.parent / "reference" / f"{BACKBONE}.json"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the folder reference beside the real images")
    return json.loads(path.read_text())


@pytest.mark.real
def test_names_and_shapes_are_those_of_the_known_model(reference):
    known = {k: v for k, v in reference["state_dict"].items() if k not in reference["not_used_by_the_features"]}
    assert {name: list(value.shape) for name, value in encoder_state().items()} == known


@pytest.mark.real
def test_features_are_those_of_the_known_model(reference, tmp_path):
    state = {}
    for place, (name, shape) in enumerate(reference["state_dict"].items()):
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
            continue
        size = math.prod(shape)
        v = torch.sin(torch.arange(size, dtype=torch.float64) * (0.37 + 0.01 * place) + place)
        if name.endswith("running_var"):
            v = 1 + 0.5 * v.abs()
        elif len(shape) > 1:
            v = v * math.sqrt(2 * shape[0] / size)
        else:
            v = 1 + 0.1 * v if name.endswith("weight") else 0.1 * v
        state[name] = v.reshape(shape)
    torch.save(state, tmp_path / "model.pt")
    encoder = load_imagenet_encoder(MobileNetV3LargeEncoder().double(), tmp_path / "model.pt").eval()
    image = torch.sin(0.013 * torch.arange(3 * 64 * 96, dtype=torch.float32)).double().reshape(1, 3, 64, 96)
    with torch.no_grad():
        features = encoder(image)
    for feature, known in zip(features, reference["features"], strict=True):
        assert list(feature.shape) == known["shape"]
        result = {"mean": feature.mean(), "std": feature.std()}
        result |= {"first": feature.flatten()[:5], "last": feature.flatten()[-5:]}
        for key, value in result.items():
            # the image is of float32 sines, which differ by machine in their last digit
            torch.testing.assert_close(value, torch.tensor(known[key], dtype=torch.float64), atol=1e-7, rtol=0)


def test_number_of_parameters_worked_by_hand():
    def block(channels, kernel, expanded, out, squeezed=0):
        """Three convolutions without bias with two numbers a channel of batch norm, and two with bias."""
        count = channels * expanded + kernel**2 * expanded + expanded * out + 4 * expanded + 2 * out
        return count + (2 * expanded * squeezed + squeezed + expanded if squeezed else 0)

    # Howard et al. 2019, table 1; a squeeze is a quarter of the expanded channels, in multiples of 8
    stem, first, last = 3 * 9 * 16 + 2 * 16, 9 * 16 + 2 * 16 + 16 * 16 + 2 * 16, 160 * 960 + 2 * 960
    blocks = [block(16, 3, 64, 24), block(24, 3, 72, 24)]
    blocks += [block(24, 5, 72, 40, 24), block(40, 5, 120, 40, 32), block(40, 5, 120, 40, 32)]
    blocks += [block(40, 3, 240, 80), block(80, 3, 200, 80), block(80, 3, 184, 80), block(80, 3, 184, 80)]
    blocks += [block(80, 3, 480, 112, 120), block(112, 3, 672, 112, 168)]
    blocks += [block(112, 5, 672, 160, 168), block(160, 5, 960, 160, 240), block(160, 5, 960, 160, 240)]
    assert stem + first + sum(blocks) + last == 2_971_952
    # the whole model is known to have 5,483,032; its classifier is 960 to 1280 to 1000, with biases
    assert 2_971_952 + 960 * 1280 + 1280 + 1280 * 1000 + 1000 == 5_483_032
    assert sum(p.numel() for p in MobileNetV3LargeEncoder().parameters()) == 2_971_952


def test_features_halve_five_times():
    features = MobileNetV3LargeEncoder(in_channels=1).eval()(torch.rand(2, 1, 96, 64))
    expected = [(16, 48, 32), (24, 24, 16), (40, 12, 8), (112, 6, 4), (960, 3, 2)]
    assert [tuple(feature.shape) for feature in features] == [(2, *shape) for shape in expected]


def test_unet_with_this_encoder_keeps_the_size_and_learns():
    with torch.device("meta"):
        assert unet()(torch.empty(2, 3, 512, 512)).shape == (2, 6, 512, 512)
    torch.manual_seed(0)
    network = prepare(unet(), "cpu", "float32")
    result = network(torch.rand(2, 3, 64, 96))
    assert result.shape == (2, 6, 64, 96)
    result.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_a_bundle_finds_the_encoder_by_importing_networks():
    definition = {"_target_": "FlexibleUNet", "in_channels": 3, "out_channels": 6, "backbone": BACKBONE}
    parser = ConfigParser({"imports": ["$import networks"], "network_def": definition})
    network = parser.get_parsed_content("network_def")
    assert isinstance(network.encoder, MobileNetV3LargeEncoder)


@pytest.mark.parametrize(
    ("size", "nearest"), [((100, 64), "height 96 or 128, width 64"), ((64, 31), "height 64, width 32")]
)
def test_sizes_that_do_not_halve_five_times_are_refused_with_the_nearest_that_do(size, nearest):
    with pytest.raises(ValueError, match=f"multiple of 32.*nearest: {nearest}"):
        unet()(torch.rand(1, 3, *size))


def test_what_the_encoder_cannot_be_is_refused():
    with pytest.raises(ValueError, match="downloads no weights.*load_imagenet_encoder"):
        FlexibleUNet(3, 6, BACKBONE, pretrained=True)
    with pytest.raises(ValueError, match="2D network"):
        FlexibleUNet(3, 6, BACKBONE, spatial_dims=3)


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt"])
@pytest.mark.parametrize("with_classifier", [True, False])
def test_weights_go_into_the_encoder_alone(weights, tmp_path, name, with_classifier):
    state = weights if with_classifier else {n: weights[n] for n in encoder_state()}
    if name.endswith("safetensors"):
        pytest.importorskip("safetensors.torch").save_file(state, tmp_path / name)
    else:
        torch.save(state, tmp_path / name)
    network = unet()
    decoder = {n: v.clone() for n, v in network.state_dict().items() if not n.startswith("encoder.")}
    assert load_imagenet_encoder(network, tmp_path / name) is network
    after = network.state_dict()
    for key in encoder_state():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(after[f"encoder.{key}"], weights[key])
    for key, value in decoder.items():
        torch.testing.assert_close(after[key], value)


def test_weights_that_do_not_fit_are_refused_and_change_nothing(weights, tmp_path):
    encoder = MobileNetV3LargeEncoder()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    path = tmp_path / "model.pt"
    lacking = {name: value for name, value in weights.items() if name != "blocks.2.0.se.conv_reduce.bias"}
    for state, message in [
        (lacking, "lacks blocks.2.0.se.conv_reduce.bias"),
        (weights | {"fc.weight": torch.zeros(2)}, "fc.weight is in the file alone"),
        (weights | {"bn1.weight": torch.zeros(8)}, r"bn1.weight is \(8,\) in the file and \(16,\)"),
    ]:
        torch.save(state, path)
        with pytest.raises(WeightsError, match=rf"model\.pt.*1 differences, the first: .*{message}"):
            load_imagenet_encoder(encoder, path)
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_network_that_the_weights_are_not_for_is_named(weights, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(weights, path)
    with pytest.raises(WeightsError, match="images of 3 channels, the network takes 1. Set in_channels to 3"):
        load_imagenet_encoder(unet(in_channels=1), path)
    with pytest.raises(WeightsError, match=f"ClassicUNet has no MobileNetV3-Large encoder. Set backbone to {BACKBONE}"):
        load_imagenet_encoder(networks.ClassicUNet(1, 1, (2, 4)), path)


def test_files_of_safetensors_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    with pytest.raises(WeightsError, match="no such file"):
        load_imagenet_encoder(MobileNetV3LargeEncoder(), path)
    path.write_bytes(b"not weights")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "safetensors.torch", None)  # as where the package is not installed
        with pytest.raises(WeightsError, match="run pip install safetensors"):
            load_imagenet_encoder(MobileNetV3LargeEncoder(), path)
    pytest.importorskip("safetensors")
    with pytest.raises(WeightsError, match=r"model\.safetensors: cannot be loaded as weights"):
        load_imagenet_encoder(MobileNetV3LargeEncoder(), path)
