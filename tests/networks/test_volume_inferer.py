"""From slices to the labels of a volume."""

from __future__ import annotations

import pytest
import torch

from networks import SLICE_OFFSETS, OutputError, VolumeInferer, prepare, slice_channels


def by_brightness(image):
    """Three logits of each pixel, of a dark, a middling and a bright class, from its second channel."""
    brightness = image[:, 1:2]
    return 9 * torch.cat([-brightness, -(brightness - 0.5).abs(), brightness - 1], dim=1)


def test_channels_are_the_slice_or_its_neighbours():
    volume = torch.arange(4.0).expand(2, 1, 3, 3, 4)
    grey, neighbours = (slice_channels(volume, kind)[0, :, 0, 0].T.tolist() for kind in ("grey", "neighbours"))
    assert grey == [[0, 0, 0], [1, 1, 1], [2, 2, 2], [3, 3, 3]]
    assert neighbours == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]
    alone = slice_channels(volume[..., :1], "neighbours")
    assert alone.shape == (2, 3, 3, 3, 1) and not alone.any()


@pytest.mark.parametrize("kind", SLICE_OFFSETS)
def test_channels_are_those_of_the_table(kind):
    """Which training reads slices by: it must show the network what prediction does."""
    volume = torch.rand(1, 1, 2, 3, 4)
    for z in range(4):
        places = [min(max(z + offset, 0), 3) for offset in SLICE_OFFSETS[kind]]
        assert torch.equal(slice_channels(volume, kind)[0, ..., z], volume[0, 0][..., places].movedim(-1, 0))


def test_labels_of_a_volume_are_those_of_its_slices_and_observed_in_order():
    volume = torch.rand(1, 1, 8, 8, 5)
    inferer = VolumeInferer(roi_size=(8, 8), sw_batch_size=2, channels="neighbours")
    seen = {}
    inferer.observe = lambda logits, places: seen.update(zip(places, logits, strict=True))
    labels = inferer(volume, by_brightness)
    expected = [by_brightness(volume[..., z].expand(1, 3, 8, 8)) for z in range(5)]
    assert sorted(seen) == [0, 1, 2, 3, 4]
    for z, logits in enumerate(expected):
        assert torch.equal(seen[z], logits[0]) and torch.equal(labels[0, 0, ..., z], logits[0].argmax(dim=0))
    with pytest.raises(ValueError, match=r"slices of \(8, 8\) do not fit into \(4, 8\)"):
        VolumeInferer(roi_size=(4, 8), sw_batch_size=2)(volume, by_brightness)


def test_channels_that_are_not_known_are_refused():
    with pytest.raises(ValueError, match="channels is 'colour': give one of grey, neighbours"):
        VolumeInferer(roi_size=(8, 8), sw_batch_size=2, channels="colour")


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_volumes_side_by_side_of_smaller_slices_keep_their_shape_and_their_places(batch):
    volumes = torch.tensor([0.1, 0.5, 0.9, 0.9, 0.1]).expand(2, 1, 6, 8, 5).clone()  # a value a slice
    volumes[1] = volumes[1].flip(-1)
    labels = VolumeInferer(roi_size=(8, 8), sw_batch_size=batch)(volumes, by_brightness)
    assert labels.shape == (2, 1, 6, 8, 5) and labels.dtype == torch.uint8
    assert torch.equal(labels[0], torch.tensor([0, 1, 2, 2, 0]).expand(1, 6, 8, 5))
    assert torch.equal(labels[1], labels[0].flip(-1))


def test_no_labels_of_an_output_that_is_not_finite():
    """The largest of logits is a label, whatever the others are."""
    network = prepare(torch.nn.Conv2d(3, 2, 1), "cpu", "float32").eval()
    volume, inferer = torch.rand(1, 1, 16, 16, 2), VolumeInferer((16, 16), 2)
    with torch.no_grad():
        assert set(inferer(volume, network).unique().tolist()) <= {0, 1}
        network.bias[0] = float("nan")
        with pytest.raises(OutputError, match=r"512 of 1,024 values"):
            inferer(volume, network)
