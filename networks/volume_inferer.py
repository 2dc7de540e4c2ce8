"""From a network of slices to the labels of a volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type
from torch.nn.functional import pad

from .prepare import SettingError

SliceChannels = Literal["grey", "neighbours"]
# Which slices are a slice's channels. Beyond the ends of a volume its border slice is repeated.
SLICE_OFFSETS: dict[str, tuple[int, ...]] = {"grey": (0, 0, 0), "neighbours": (-1, 0, 1)}


class VolumeInferer(Inferer):
    """Slice by slice through networks that take three channels and give one logit a class.

    Takes volumes of shape (N, 1, x, y, z), any range, and gives the label of each voxel, uint8 of shape
    (N, 1, x, y, z). The labels are chosen slice by slice, so that neither the classes' probabilities nor the three
    channels of a whole volume are in memory: 600 slices of 512 x 512 and six classes would take 3.8 GB. MONAI's
    SliceInferer could do that too, but it adds up windows that may overlap, which takes time and memory for their sums.

    Args:
        roi_size: (x, y) of what the network takes: smaller slices are padded with 0 on both sides, and a slice is never
            cut into windows.
        sw_batch_size: slices that go through the network together.
        channels: what the three channels of a slice are: ``"grey"``, the slice three times, or ``"neighbours"``, the
            slice between those below and above it along z (2.5D).

    Attributes:
        observe: None, or called with the logits of each batch of slices, (N, classes, x, y), and the places of these
            slices along z: for those that need probabilities without keeping them.

    Raises:
        SettingError: if ``channels`` is not known.
        ValueError: from a call, if a volume is larger than ``roi_size``.
    """

    def __init__(self, roi_size: Sequence[int], sw_batch_size: int, channels: SliceChannels = "grey"):
        if channels not in SLICE_OFFSETS:
            raise SettingError(f"channels is {channels!r}: give one of {', '.join(SLICE_OFFSETS)}.")
        self.roi_size = tuple(roi_size)
        self.sw_batch_size = sw_batch_size
        self.channels = channels
        self.observe: Callable[[torch.Tensor, list[int]], None] | None = None

    def __call__(self, inputs: torch.Tensor, network: Callable, *args: Any, **kwargs: Any) -> torch.Tensor:
        count, _, x, y, z = inputs.shape
        if x > self.roi_size[0] or y > self.roi_size[1]:
            raise ValueError(f"slices of {(x, y)} do not fit into {self.roi_size} pixels.")
        left, top = (self.roi_size[0] - x) // 2, (self.roi_size[1] - y) // 2
        padding = (top, self.roi_size[1] - y - top, left, self.roi_size[0] - x - left)  # the last axis first
        volumes = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        # in memory slice by slice, x fastest: as they are filled here, and as files have them
        labels = torch.empty((count, 1, z, y, x), dtype=torch.uint8, device=inputs.device).permute(0, 1, 4, 3, 2)
        for volume, found in zip(slice_channels(volumes, self.channels), labels[:, 0], strict=True):
            for start in range(0, z, self.sw_batch_size):
                places = range(start, min(start + self.sw_batch_size, z))
                slices = volume[..., start : places.stop].movedim(-1, 0)
                logits = network(pad(slices, padding) if any(padding) else slices, *args, **kwargs)
                logits = logits[..., left : left + x, top : top + y]
                if self.observe is not None:
                    self.observe(logits, list(places))
                found[..., start : places.stop] = logits.argmax(dim=1).movedim(0, -1)
        return convert_to_dst_type(labels, inputs, dtype=torch.uint8)[0]


def slice_channels(volume: torch.Tensor, channels: SliceChannels) -> torch.Tensor:
    """A volume (N, 1, x, y, z) with the channels of each slice, (N, 3, x, y, z), without three times its memory.

    The channel c at z is the slice at z plus the offset c of SLICE_OFFSETS, or the border slice beyond the ends.
    """
    offsets = SLICE_OFFSETS[channels]
    if not any(offsets):
        return volume.expand(-1, len(offsets), -1, -1, -1)
    padded = torch.cat([volume[..., :1], volume, volume[..., -1:]], dim=-1)
    return padded.unfold(-1, len(offsets), 1)[:, 0].movedim(-1, 1)
