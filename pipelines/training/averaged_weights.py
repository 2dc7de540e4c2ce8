"""Averaged weights with a memory that suits the length of the training."""

from __future__ import annotations

from ignite.handlers import EMAHandler
from torch import nn

MEMORY = 0.022  # of the average, as a share of the training's steps: longer, and it lags behind the network
SHORTEST = 10  # steps


class AveragedWeights(EMAHandler):
    """Ignite's exponential moving average of a network's weights, and of the statistics of its batch norm alike.

    Args:
        network: what is trained; the average is the attribute ``ema_model``.
        steps: of the whole training.
    """

    def __init__(self, network: nn.Module, steps: int):
        super().__init__(network, momentum=1 / max(SHORTEST, MEMORY * steps), handle_buffers="update")
