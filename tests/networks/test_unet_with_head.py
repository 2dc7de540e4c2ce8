"""MONAI's UNet with a linear head."""

from __future__ import annotations

import pytest
import torch

from networks import UNetWithHead


def test_sizes_that_do_not_halve_evenly_are_refused_in_words():
    network = UNetWithHead(2, 1, 1, (4, 8, 16), (2, 2), num_res_units=2, norm="BATCH")
    assert network(torch.rand(1, 1, 16, 20)).shape == (1, 1, 16, 20)
    with pytest.raises(ValueError, match="16 x 18 pixels.*multiple of 4. The nearest: height 16, width 16 or 20"):
        network(torch.rand(1, 1, 16, 18))


def test_linear_head_sees_all_features():
    """Each of the last features changes the logits, and the logits can be of any sign."""
    image = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    network = UNetWithHead(2, 1, 1, (4, 8), (2,), num_res_units=2, norm="BATCH").eval()
    assert network.head.in_channels == 4 and network.head.weight.abs().sum(dim=(0, 2, 3)).min() > 0
    logits = network(image)
    assert logits.shape == image.shape and logits.min() < logits.mean() < logits.max()


def test_each_class_has_its_logits_and_volumes_have_three_axes():
    network = UNetWithHead(2, 1, 3, (4, 8), (2,))
    assert network(torch.rand(2, 1, 16, 8)).shape == (2, 3, 16, 8)
    network = UNetWithHead(3, 1, 2, (4, 8), (2,))
    assert network(torch.rand(1, 1, 8, 4, 6)).shape == (1, 2, 8, 4, 6)


def test_the_logits_are_a_convolution_of_the_features_of_monai_s_unet():
    network = UNetWithHead(2, 1, 1, (4, 8), (2,), norm="BATCH").eval()
    features = network.model(torch.ones(1, 1, 8, 8))
    weight, bias = network.head.weight, network.head.bias
    middle = (features[0, :, 3:6, 2:5] * weight[0]).sum() + bias[0]  # the nine features around the pixel (4, 3)
    torch.testing.assert_close(network(torch.ones(1, 1, 8, 8))[0, 0, 4, 3], middle)
