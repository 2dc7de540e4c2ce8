"""The U-Net of 2015: its layers, sizes and count of parameters as published, its mirrored borders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn
from torch.nn import functional as F

from networks import ClassicUNet

SMALL = (4, 6, 8, 10, 12)


def network(**options) -> ClassicUNet:
    """Always the same weights, float64, with biases so that no ReLU is closed for all pixels."""
    torch.manual_seed(0)
    model = ClassicUNet(1, 2, SMALL, **options).double().eval()
    for layer in convolutions(model):
        nn.init.uniform_(layer.bias, 0, 0.3)
    return model


def random_image(*size) -> torch.Tensor:
    return torch.rand(1, 1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def convolutions(module: nn.Module) -> list[nn.Module]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]


def test_layers_are_the_23_of_the_paper():
    with torch.device("meta"):
        layers = convolutions(ClassicUNet())
    kinds = [(type(layer).__name__, layer.kernel_size[0]) for layer in layers]
    assert kinds.count(("Conv2d", 3)) == 18
    assert kinds.count(("ConvTranspose2d", 2)) == 4
    assert kinds.count(("Conv2d", 1)) == 1
    assert len(kinds) == 23


def test_sizes_and_features_are_those_of_figure_1():
    with torch.device("meta"):
        model = ClassicUNet(in_channels=1, out_channels=2)
        seen = []
        for layer in [*convolutions(model), model.pool]:
            layer.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[1:])))
        result = model(torch.empty(1, 1, 572, 572))
    # the numbers beside the boxes of the figure, layer by layer
    figure = [(64, 570), (64, 568), (64, 284), (128, 282), (128, 280), (128, 140), (256, 138), (256, 136), (256, 68)]
    figure += [(512, 66), (512, 64), (512, 32), (1024, 30), (1024, 28)]
    figure += [(512, 56), (512, 54), (512, 52), (256, 104), (256, 102), (256, 100)]
    figure += [(128, 200), (128, 198), (128, 196), (64, 392), (64, 390), (64, 388), (2, 388)]
    assert seen == [(channels, size, size) for channels, size in figure]
    assert result.shape == (1, 2, 388, 388)


def test_number_of_parameters_worked_by_hand():
    with torch.device("meta"):
        model = ClassicUNet(in_channels=1, out_channels=2)
    # weights and biases; down: 640 + 36928, 73856 + 147584, 295168 + 590080, 1180160 + 2359808, 4719616 + 9438208
    down = 37_568 + 221_440 + 885_248 + 3_539_968 + 14_157_824
    up = 2_097_664 + 524_544 + 131_200 + 32_832  # 1024 * 512 * 4 + 512, 512 * 256 * 4 + 256, ...
    # after each skip: 4719104 + 2359808, 1179904 + 590080, 295040 + 147584, 73792 + 36928
    merge = 7_078_912 + 1_769_984 + 442_624 + 110_720
    assert down + up + merge + 130 == 31_030_658
    assert sum(p.numel() for p in model.parameters()) == 31_030_658


def test_zero_padding_keeps_the_size_and_the_names():
    padded = network(padding=True)
    assert padded(random_image(48, 64)).shape == (1, 2, 48, 64)
    state = network().state_dict()
    assert list(padded.state_dict()) == list(state) == list(network(mirror=True).state_dict())
    padded.load_state_dict(state)


def test_two_levels_worked_step_by_step():
    torch.manual_seed(0)
    model, image = ClassicUNet(1, 2, (3, 4)).double().eval(), random_image(20, 24)
    w = dict(model.named_parameters())

    def two(x, name):
        for index in (0, 2):
            x = F.conv2d(x, w[f"{name}.{index}.weight"], w[f"{name}.{index}.bias"]).relu()
        return x

    top = two(image, "down.0")
    below = two(F.max_pool2d(top, 2), "down.1")
    up = F.conv_transpose2d(below, w["up.0.weight"], w["up.0.bias"], stride=2)
    assert top.shape[2:] == (16, 20) and up.shape[2:] == (8, 12)
    joined = two(torch.cat([top[:, :, 4:12, 4:16], up], dim=1), "merge.0")
    expected = F.conv2d(joined, w["head.weight"], w["head.bias"])
    assert expected.shape == (1, 2, 4, 8)
    torch.testing.assert_close(model(image), expected)


def test_every_level_reaches_the_output():
    # else what follows would compare less than it says
    image, whole = random_image(188, 188), network()(random_image(188, 188))
    for level in range(5):
        cut = network()
        nn.init.zeros_(cut.down[level][2].weight)
        assert (cut(image) - whole).abs().max() > 0.01


def test_far_from_the_border_padding_changes_nothing():
    # the first pooling without padding starts 2 pixels inside the image, the next 6, 14 and 30: from the pixel 2 on,
    # all are on the grids of 2, 4, 8 and 16 pixels of the padded network
    image = random_image(240, 256)
    unpadded = network()(image[..., 2:-2, 2:-2])
    assert unpadded.shape == (1, 2, 52, 68)
    torch.testing.assert_close(network(padding=True)(image)[..., 94:-94, 94:-94], unpadded)


def test_part_shifted_by_16_pixels_gives_that_part_of_the_whole():
    image = random_image(252, 268)
    whole = network()(image)
    assert whole.shape == (1, 2, 68, 84)
    torch.testing.assert_close(network()(image[..., 16:-32, 48:]), whole[..., 16:-32, 48:])
    torch.testing.assert_close(network()(image[..., 16:, 16:]), whole[..., 16:, 16:])


def test_tiles_side_by_side_are_the_whole():
    image = random_image(188, 220)
    tiles = [network()(image[..., :, start : start + 188]) for start in (0, 16, 32)]
    whole = network()(image)
    assert whole.shape == (1, 2, 4, 36)
    for start, tile in zip((0, 16, 32), tiles, strict=True):
        torch.testing.assert_close(tile, whole[..., start : start + 4])


@pytest.mark.parametrize("size", [(100, 120), (96, 37), (30, 1)])
def test_mirrored_image_of_any_size_gives_logits_of_its_size(size):
    image = random_image(*size)
    # by NumPy, which reflects again where the image is smaller than the margin of 92; then to 16 n - 4
    rest = [-(n + 2 * 92 + 4) % 16 for n in size]
    widths = [(0, 0), (0, 0), (92, 92 + rest[0]), (92, 92 + rest[1])]
    expected = network()(torch.from_numpy(np.pad(image.numpy(), widths, mode="reflect")))
    result = network(mirror=True)(image)
    assert result.shape == (1, 2, *size)
    torch.testing.assert_close(result, expected[..., : size[0], : size[1]])


@pytest.mark.parametrize(
    ("options", "size", "nearest"),
    [
        ({}, (572, 570), "height 572, width 556 or 572"),
        ({}, (512, 188), "height 508 or 524, width 188"),
        ({}, (180, 204), "height 188, width 204"),
        ({"padding": True}, (100, 8), "height 96 or 112, width 16"),
    ],
)
def test_sizes_that_cannot_work_are_refused_with_the_nearest_that_do(options, size, nearest):
    with pytest.raises(ValueError, match=f"{size[0]} x {size[1]} pixels.*The nearest: {nearest}"):
        network(**options)(random_image(*size))


def test_configurations_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="set padding to false"):
        ClassicUNet(padding=True, mirror=True)
    with pytest.raises(ValueError, match="at least two levels"):
        ClassicUNet(features=[64])


def test_weights_start_with_the_standard_deviation_of_the_paper():
    torch.manual_seed(0)
    model = ClassicUNet(1, 2, (16, 32, 64))
    # "for a 3x3 convolution and 64 feature channels in the previous layer N = 9 * 64"; an up-convolution of stride 2
    # brings one pixel of each of its 64 input channels to a pixel of the output
    assert model.merge[0][0].weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)
    assert model.up[0].weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    assert all(layer.bias.abs().max() == 0 for layer in convolutions(model))


def test_dropout_is_at_the_end_of_the_contracting_path_and_in_training_alone():
    model = network(padding=True)
    seen = []
    model.dropout.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[1]))
    image = random_image(64, 64)
    torch.testing.assert_close(model(image), model(image))
    assert seen[:2] == [10, 12] and len(seen) == 4
    model.train()
    assert not torch.equal(model(image), model(image))
    model = network(padding=True, dropout=0.0).train()
    torch.testing.assert_close(model(image), network(padding=True)(image))


def test_made_by_a_bundle_and_prepared_it_computes_the_same_and_learns():
    parser = ConfigParser(
        {
            "imports": ["$import networks"],
            "network_def": {
                "_target_": "networks.prepare",
                "network": {
                    "_target_": "networks.ClassicUNet",
                    "in_channels": 1,
                    "out_channels": 2,
                    "features": list(SMALL),
                    "mirror": True,
                },
                "device": "cpu",
                "precision": "float32",
            },
        }
    )
    model = parser.get_parsed_content("network_def").eval()
    model.load_state_dict(network().state_dict())
    image = random_image(40, 56)
    expected = network(mirror=True)(image).float()
    torch.testing.assert_close(model(image.float()), expected, atol=1e-3, rtol=0)
    model(image.float()).square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())
