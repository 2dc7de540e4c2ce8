"""The classifier of images on a U-Net's features, beside torch's own hooks and a sum by hand."""

from __future__ import annotations

import copy
import math
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from networks import BottomFeatures, ImageClassifier, UNetWithHead, WeightsError, bottom_features


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return UNetWithHead(2, 1, 1, channels=[4, 6, 8], strides=[2, 2], num_res_units=1).eval()


def test_the_features_are_what_the_lowest_level_gives_when_the_network_runs(network):
    images, seen = torch.rand(3, 1, 32, 32), []
    lowest = network.model[1].submodule[1].submodule
    hook = lowest.register_forward_hook(lambda module, given, output: seen.append(output))
    with torch.no_grad():
        network(images)
    hook.remove()
    assert seen[0].shape == (3, 8, 8, 8)
    expected = torch.cat([seen[0].flatten(2).mean(2), seen[0].flatten(2).max(2).values], 1)
    torch.testing.assert_close(bottom_features(network, images), expected)


def test_the_probability_is_the_logistic_function_of_the_weighted_features(network):
    image = torch.rand(1, 32, 32)
    weights = [0.1 * number for number in range(16)]
    probability, threshold = ImageClassifier(
        BottomFeatures(network), {"weights": weights, "bias": -0.3, "threshold": 0.2}
    )(image)
    logit = float(bottom_features(network, image[None])[0] @ torch.tensor(weights)) - 0.3
    assert probability == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-5) and threshold == 0.2


def test_nothing_fitted_says_nothing_and_what_does_not_fit_is_refused(network):
    assert ImageClassifier(BottomFeatures(network), None)(torch.rand(1, 32, 32)) is None
    with pytest.raises(ValueError, match="has 1 weights, the network 16 features"):
        ImageClassifier(BottomFeatures(network), {"weights": [1.0], "bias": 0.0, "threshold": 0.5})(
            torch.rand(1, 32, 32)
        )


def test_threads_and_copies_give_what_one_gives(network):
    images = [torch.rand(1, 32, 32) for _ in range(16)]
    classifier = ImageClassifier(BottomFeatures(network), {"weights": [0.5] * 16, "bias": 0.0, "threshold": 0.5})
    alone = [classifier(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(copy.deepcopy(classifier), images)) == alone
    assert len({probability for probability, _ in alone}) == 16


@pytest.mark.parametrize(
    ("fitted", "names"),
    [
        ({"bias": 0.0, "threshold": 0.5}, "weights"),
        ({"weights": "1", "bias": 0.0, "threshold": 0.5}, "weights"),
        ({"weights": [1.0, math.nan], "bias": 0.0, "threshold": 0.5}, "weights"),
        ({"weights": [1.0, 10**400], "bias": 0.0, "threshold": 0.5}, "weights"),
        ({"weights": [1.0], "bias": None, "threshold": True}, "bias, threshold"),
        ([1.0], "weights, bias, threshold"),
    ],
)
def test_a_damaged_one_is_refused_before_any_image(network, fitted, names):
    with pytest.raises(WeightsError, match=f"a damaged classifier: its {names}\\. .* or fit it again"):
        ImageClassifier(BottomFeatures(network), fitted)


def test_the_network_is_one_threads_at_a_time(network):
    inside, most = [], []

    def enter(module, given):
        inside.append(module)
        most.append(len(inside))
        time.sleep(0.01)

    hooks = [network.model[0].register_forward_pre_hook(enter)]
    hooks.append(network.model[0].register_forward_hook(lambda module, given, output: inside.pop() and None))
    classifier = ImageClassifier(BottomFeatures(network), {"weights": [0.5] * 16, "bias": 0.0, "threshold": 0.5})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda image: copy.deepcopy(classifier)(image), [torch.rand(1, 32, 32) for _ in range(8)]))
    for hook in hooks:
        hook.remove()
    assert most == [1] * 8


def test_who_asks_for_the_same_image_next_does_not_wait(network):
    passes = []
    hook = network.model[0].register_forward_pre_hook(lambda module, given: passes.append(1) and None)
    bottom, images = BottomFeatures(network), [torch.rand(1, 32, 32) for _ in range(2)]
    first = bottom(images[0])
    assert bottom(images[0]) == first and len(passes) == 1
    assert bottom(images[1]) != first and len(passes) == 2
    assert bottom(images[0]) == first and len(passes) == 3
    hook.remove()
