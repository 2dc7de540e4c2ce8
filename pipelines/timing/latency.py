"""How long a bundle's network takes for an image: eager, compiled, exported and in ONNX Runtime, from one run."""

from __future__ import annotations

import copy
import logging
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from networks import Precision, load_weights, prepare

from ..bundle import Bundle
from ..sharing.export import Probabilities, check, read, read_bundle, require_onnx, trace, with_probabilities, write

logger = logging.getLogger(__name__)

ROUNDS, WARM_UP = 30, 3


def latency(bundle: Bundle) -> None:
    """Time the network of a bundle on the CPU on single images of the bundle's size, in turn, and print medians.

    All ways go from the image to probabilities on as many threads as torch uses. Weights make no difference to the
    time: random ones are taken where the bundle has none.

    Args:
        bundle: whose network it is.

    Raises:
        DataError: if a package for ONNX is missing.
        ExportError: if the network cannot be exported.
    """
    require_onnx()
    import onnxruntime

    parser = read_bundle(bundle)
    weights = Path(parser.get_parsed_content("weights"))
    network = parser.get_parsed_content("network_def")
    if weights.is_file():
        load_weights(network, weights)
    module, size = with_probabilities(parser), parser["image_size"]

    def prepared(precision: Precision, compile: bool = False) -> torch.nn.Module:
        network = prepare(copy.deepcopy(module.network), "cpu", precision, compile)
        return Probabilities(network, module.channels, module.step).eval()

    ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "eager, float32": prepared("float32"),
        "eager, bfloat16": prepared("bfloat16"),
    }
    image = torch.rand(1, module.channels, size, size)
    try:
        (compiled := prepared("float32", compile=True))(image)
        ways["torch.compile, float32"] = compiled
    except Exception as error:  # torch's own, of many kinds: mostly there is no C++ compiler
        logger.warning("left out torch.compile: %s", str(error).strip().splitlines()[0])
    with tempfile.TemporaryDirectory() as folder:
        program = trace(module)
        for suffix, name in ((".pt2", "torch.export, float32"), (".onnx", "ONNX Runtime, float32")):
            path = Path(folder) / f"network{suffix}"
            write(program, module.step, {}, path)
            ways[name] = read(path)
            check(ways[name], module, path)

    times: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        for number in range(WARM_UP + ROUNDS):  # in turn, so that a machine that gets slower does so for all
            for name, way in ways.items():
                since = time.perf_counter()
                way(image)
                if number >= WARM_UP:
                    times[name].append(1000 * (time.perf_counter() - since))

    medians = {name: statistics.median(values) for name, values in times.items()}
    print(
        f"{bundle.name}: an image of {size} x {size}, medians of {ROUNDS} rounds; "
        f"weights: {weights if weights.is_file() else 'random'}\n"
        f"threads: {torch.get_num_threads()} for all, of {os.cpu_count()} cores, {platform.machine()}; "
        f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    )
    for name, median in medians.items():
        print(f"{name:24} {median:8.1f} ms {median / medians['eager, float32']:6.2f}")
