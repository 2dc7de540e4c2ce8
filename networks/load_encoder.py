"""Starts a network from the contracting path of another one of the same architecture."""

from __future__ import annotations

import logging
import os
import re

from monai.networks.nets import UNet

from .weights import WeightsError, check_fits, read_checkpoint

logger = logging.getLogger(__name__)

# MONAI's UNet is nested: each level is (down, below, up), so every ".2." after "model" or "submodule" is an up
EXPANDING = re.compile(r"(^|\.)(model|submodule)\.2\.|^head\.")


def load_encoder(
    network: UNet, path: os.PathLike | str, force: bool = False, optional: os.PathLike | str | None = None
) -> UNet:
    """Load the contracting path, from the input to the bottom, and leave the expanding path as it is.

    With a hundred images a network that starts from one trained on a related task learns more than from random
    weights.

    Args:
        network: a MONAI UNet.
        path: the state dict of a MONAI UNet with the same contracting path. Empty: none, which the log says.
        force: as of :func:`networks.read_checkpoint`.
        optional: a file that need not be there. If it is the one and missing, say so and leave the network as it is.

    Returns:
        ``network``

    Raises:
        WeightsError: if the file cannot be loaded, the contracting paths differ, or a value is not finite.
    """
    if not isinstance(network, UNet):
        raise WeightsError(f"{path}: an encoder can be loaded into MONAI's UNet, not into {type(network).__name__}.")
    if path == "" or (path == optional and not os.path.exists(path)):
        reason = "no encoder was given" if path == "" else f"{path}: no such file"
        logger.warning("%s: training starts from random weights, and learns less from few images", reason)
        return network
    own = network.state_dict()
    state = {name: value for name, value in read_checkpoint(path, force).items() if not EXPANDING.search(name)}
    check_fits(network, {**{name: value for name, value in own.items() if EXPANDING.search(name)}, **state}, path)
    network.load_state_dict(state, strict=False)  # what is missing is the expanding path: all else was checked
    logger.info("started from the contracting path of %s: %d of %d tensors", path, len(state), len(own))
    return network
