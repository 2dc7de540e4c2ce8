"""How many processes load the items of a training."""

from __future__ import annotations

import torch

BESIDE_A_GPU = 4


def loader_workers(device: torch.device | str) -> int:
    """None beside a CPU, whose cores the network needs; some beside a GPU, which would wait otherwise."""
    return 0 if torch.device(device).type == "cpu" else BESIDE_A_GPU
