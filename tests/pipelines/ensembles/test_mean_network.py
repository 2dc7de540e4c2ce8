"""The mean of networks: of their probabilities, against NumPy, also where these are all but 0 or 1."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.special import expit

from networks import OutputError, prepare
from pipelines import MeanNetwork


def linear(weight, bias):
    """A network that gives ``weight * image + bias``."""
    network = torch.nn.Conv2d(1, 1, kernel_size=1)
    with torch.no_grad():
        network.weight.fill_(weight)
        network.bias.fill_(bias)
    return prepare(network, "cpu", precision="float32").eval()


@pytest.fixture
def image():
    return torch.linspace(-3, 3, 2 * 5 * 4).reshape(2, 1, 5, 4)


def test_its_sigmoid_is_the_mean_of_the_probabilities_and_not_of_the_logits(image):
    with torch.no_grad():
        mean = MeanNetwork([linear(1, 0), linear(-2, 1), linear(4, 3)])(image)
    x = image.numpy().astype(np.float64)
    logits = [x, -2 * x + 1, 4 * x + 3]
    np.testing.assert_allclose(expit(mean.numpy()), np.mean([expit(z) for z in logits], axis=0), atol=1e-6)
    assert np.abs(expit(mean.numpy()) - expit(np.mean(logits, axis=0))).max() > 0.1


def test_it_is_exact_near_0_and_1_and_never_infinite(image):
    """Of one logit z twice the mean is z; float32's own sigmoid is 1 from 17 on."""
    with torch.no_grad():
        for z in (-60.0, -20.0, 20.0, 60.0):
            assert torch.allclose(MeanNetwork([linear(0, z), linear(0, z)])(image), torch.tensor(z), rtol=1e-5)
        far = MeanNetwork([linear(0, -1e4), linear(0, -1e4)])(image)
    assert (far < -80).all() and torch.isfinite(far).all()


def test_images_keep_what_they_know_of_themselves_and_a_copy_gives_the_same(image):
    known = MetaTensor(image, affine=torch.diag(torch.tensor([2.0, 3.0, 1.0, 1.0])))
    network = MeanNetwork([linear(1, 0), linear(2, 0)])
    with torch.no_grad():
        mean = network(known)
        assert isinstance(mean, MetaTensor) and torch.equal(mean.affine, known.affine)
        assert torch.equal(copy.deepcopy(network)(image), mean.as_tensor())


def test_one_network_that_gives_no_number_is_told(image):
    with torch.no_grad(), pytest.raises(OutputError, match="its weights are damaged"):
        MeanNetwork([linear(1, 0), linear(float("nan"), 0)])(image)
