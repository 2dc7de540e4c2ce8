"""From a network of slices to the labels of a volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import torch
from monai.inferers import SliceInferer

SliceChannels = Literal["grey", "neighbours"]
# Which slices are a slice's channels. Beyond the ends of a volume its border slice is repeated.
SLICE_OFFSETS: dict[str, tuple[int, ...]] = {"grey": (0, 0, 0), "neighbours": (-1, 0, 1)}


class VolumeInferer(SliceInferer):
    """MONAI's SliceInferer, for networks that take three channels and give one logit a class.

    Takes volumes of shape (N, 1, x, y, z), any range, and gives the label of each voxel, (N, 1, x, y, z) in the
    volume's dtype. The labels are chosen slice by slice, so that neither the classes' probabilities nor the three
    channels of a whole volume are in memory: 600 slices of 512 x 512 and six classes would take 3.8 GB.

    Args:
        roi_size: (x, y) of the volumes: a slice is never cut into windows.
        sw_batch_size: slices that go through the network together.
        channels: what the three channels of a slice are: ``"grey"``, the slice three times, or ``"neighbours"``, the
            slice between those below and above it along z (2.5D).

    Attributes:
        observe: None, or called with the logits of each batch of slices, (N, classes, x, y), and the places of these
            slices along z: for those that need probabilities without keeping them.

    Raises:
        ValueError: if ``channels`` is not known, or a volume is larger than ``roi_size``.
    """

    def __init__(self, roi_size: Sequence[int], sw_batch_size: int, channels: SliceChannels = "grey"):
        if channels not in SLICE_OFFSETS:
            raise ValueError(f"channels is {channels!r}; it must be one of {', '.join(SLICE_OFFSETS)}.")
        super().__init__(spatial_dim=2, roi_size=roi_size, sw_batch_size=sw_batch_size, with_coord=True)
        self.channels = channels
        self.observe: Callable[[torch.Tensor, list[int]], None] | None = None

    def __call__(self, inputs: torch.Tensor, network: Callable, *args: Any, **kwargs: Any) -> torch.Tensor:
        if any(size > largest for size, largest in zip(inputs.shape[2:4], self.orig_roi_size, strict=True)):
            raise ValueError(
                f"slices of {tuple(inputs.shape[2:4])} do not fit into {tuple(self.orig_roi_size)} pixels."
            )
        labels = super().__call__(slice_channels(inputs, self.channels), network, *args, **kwargs)
        return cast(torch.Tensor, labels)  # which network_wrapper gives, one

    def network_wrapper(  # type: ignore[override]  # MONAI passes the coordinates where it says a condition
        self, network: Callable, x: torch.Tensor, where: Sequence[Sequence[slice]], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Slices of shape (N, 3, x, y, 1) and where they are; gives labels of shape (N, 1, x, y, 1)."""
        logits = network(x.squeeze(-1), *args, **kwargs)
        if self.observe is not None:
            self.observe(logits, [place[-1].start for place in where])
        return logits.argmax(dim=1, keepdim=True).to(x.dtype).unsqueeze(-1)


def slice_channels(volume: torch.Tensor, channels: SliceChannels) -> torch.Tensor:
    """A volume (N, 1, x, y, z) with the channels of each slice, (N, 3, x, y, z), without three times its memory.

    The channel c at z is the slice at z plus the offset c of SLICE_OFFSETS, or the border slice beyond the ends.
    """
    offsets = SLICE_OFFSETS[channels]
    if not any(offsets):
        return volume.expand(-1, len(offsets), -1, -1, -1)
    padded = torch.cat([volume[..., :1], volume, volume[..., -1:]], dim=-1)
    return padded.unfold(-1, len(offsets), 1)[:, 0].movedim(-1, 1)
