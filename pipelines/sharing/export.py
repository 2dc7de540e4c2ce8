"""A bundle's trained network in one file that runs without this project and MONAI: ONNX, or torch.export's own."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from monai.bundle import ConfigParser
from torch import nn
from torch.export import Dim, ExportedProgram

from networks import check_size
from transforms import DataError
from transforms.files.atomic import atomic_path

from ..bundle import Bundle

logger = logging.getLogger(__name__)

FORMATS = (".onnx", ".pt2")
IMAGE, PROBABILITIES = "image", "probabilities"  # the names of the input and of the output
TOLERANCE = 1e-4  # between the probabilities of the network and of its export
LARGEST_BATCH, LARGEST_SIZE = 2**16, 2**14  # torch.export wants bounds; these are beyond any use
ABOUT = ("name", "version", "task", "intended_use", "copyright", "data_source", "pytorch_version", "monai_version")
SETTINGS = ("image_size", "threshold", "share_of_peak", "window", "channels")  # where a bundle has them


class ExportError(ValueError):
    """A network cannot be exported, or its export does something else. The message says what."""

    plain = True  # the message says it all: shown without a traceback


class Probabilities(nn.Module):
    """What is exported: a network, and the probabilities of its logits: by sigmoid of one class, softmax of several.

    Args:
        network: images of shape (N, channels, x, y), in [0, 1], to logits of shape (N, classes, x, y).
        channels: of the images.
        step: x and y are multiples of it, and at least twice it.
    """

    def __init__(self, network: nn.Module, channels: int, step: int):
        super().__init__()
        self.network, self.channels, self.step = network, channels, step

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        check_size(image.shape[2], image.shape[3], self.step, smallest=2 * self.step)
        logits = self.network(image)
        return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)


def export(bundle: Bundle, out: os.PathLike | str, overlays: Sequence[str] = (), **overrides: Any) -> None:
    """Write the network of a bundle's ``inference.json``, with its weights and the probabilities of its logits.

    The input ``image`` is float32 of shape (batch, channels, x, y), the output ``probabilities`` float32 of shape
    (batch, classes, x, y). Batch, x and y are free as far as the network allows: multiples of a step, from twice the
    step on. The file says so itself: in ``metadata_props`` of an ONNX model, and in ``metadata.json`` among the
    ``extra_files`` of :func:`torch.export.load`. What comes before and after the network is not in it.

    What was written is read again and run on random images of several batches and sizes, and must give what the
    network gives in torch, in float32, to ``TOLERANCE``.

    Args:
        bundle: whose network it is.
        out: the file to write, ``.onnx`` or ``.pt2``.
        overlays: names of the bundle's overlays of its inference.
        overrides: values of the configuration, as ``weights`` and ``image_size``.

    Raises:
        DataError: if ``out`` is of neither kind, or a package is missing.
        ExportError: if torch cannot export the network, or its export gives something else. Nothing is written.
        SizeError: if the network cannot take the bundle's image_size.
        WeightsError: if the weights are missing or do not fit.
    """
    out = Path(out)
    if out.suffix not in FORMATS:
        raise DataError(f"{out}: give --out a name that ends in {' or '.join(FORMATS)}.")
    if out.suffix == ".onnx":
        require_onnx()
    parser = read_bundle(bundle, overlays, output_dir=str(out.absolute().parent), **overrides)
    parser.get_parsed_content("initialize")  # loads the weights, and checks that the output can be written
    module = with_probabilities(parser)
    about = _about(bundle, parser, module) | {"overlays": " ".join(overlays)}
    with atomic_path(out) as scratch:
        write(trace(module), module.step, about, scratch)
        difference = check(read(scratch), module, out)
    logger.info(
        "%s: %.1f MB, weights %s; run beside torch, the probabilities differ by %.1g at most",
        *(out, out.stat().st_size / 1e6, about["weights_sha256"][:12], difference),
    )
    logger.info("in:  %s\nout: %s", about["input"], about["output"])


def require_onnx() -> None:
    """Raises DataError, with what to install, where a package for ONNX is missing."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise DataError(f"ONNX needs {', '.join(missing)}: run pip install -e '.[export]'.")


def read_bundle(bundle: Bundle, overlays: Sequence[str] = (), **overrides: Any) -> ConfigParser:
    """A bundle's inference, with its network on the CPU and in float32, nothing between it and the image."""
    parser = bundle.read(["inference", *overlays], **overrides)
    parser["network_def"] = parser["network_def#network"]  # without networks.prepare, whose autocast is the device's
    return parser


def with_probabilities(parser: ConfigParser) -> Probabilities:
    """The network of :func:`read_bundle` as it is exported; it cannot be trained.

    Raises:
        ExportError: if its outputs are of another size than its images.
        SizeError: if it cannot take the bundle's image_size.
    """
    network = parser.get_parsed_content("network_def").eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # as networks.prepare does: a .pt2 is a quarter faster
    channels = parser["_meta_#network_data_format#inputs#image#num_channels"]
    module = Probabilities(network, channels, _step(network, channels)).eval()
    check_size(parser["image_size"], parser["image_size"], module.step, smallest=2 * module.step)
    return module


def _step(network: nn.Module, channels: int) -> int:
    """The power of two whose multiples a network takes as sizes, found by trying, since networks do not tell."""
    for step in (2**power for power in range(9)):
        image = torch.zeros(1, channels, 3 * step, 5 * step)
        try:
            if network(image).shape[2:] == image.shape[2:]:
                return step
        except (RuntimeError, ValueError):  # a skip connection that does not fit, or a network that says so
            continue
    raise ExportError(f"{type(network).__name__}: gives outputs of another size than its images.")


def trace(module: Probabilities) -> ExportedProgram:
    """:func:`torch.export.export`, the batch and both sizes free.

    Raises:
        ExportError: with torch's reason.
    """
    # 1 is a size of its own for torch: from twice the step on, the lowest level of a U-Net has at least 2 pixels
    width, height = (module.step * Dim(name, min=2, max=LARGEST_SIZE // module.step) for name in ("width", "height"))
    shapes = ({0: Dim("batch", max=LARGEST_BATCH), 2: width, 3: height},)
    image = torch.rand(2, module.channels, 3 * module.step, 4 * module.step)
    try:
        program = torch.export.export(module, (image,), dynamic_shapes=shapes)
    except Exception as error:  # torch's own, of many kinds
        reason = str(error).strip().splitlines()[0]
        raise ExportError(
            f"{type(module.network).__name__}: torch.export cannot leave its image size free ({reason})."
        ) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names folders of this machine
    return program


def write(program: ExportedProgram, step: int, about: dict[str, str], path: Path) -> None:
    """Save, by the suffix, for ONNX Runtime or for :func:`torch.export.load`; ``about`` goes into the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of torch and of its storage of channels-last; the result is checked
        if path.suffix == ".pt2":
            with open(path, "wb") as file:  # by its path, the temporary name would be in the file
                torch.export.save(program, file, extra_files={"metadata.json": json.dumps(about, indent=2)})
            return
        import onnx

        for talker in ("torch.onnx", "onnx_ir", "onnxscript"):  # what optimisers do, and that torchvision is missing
            logging.getLogger(talker).setLevel(logging.ERROR)
        axes = ({0: Dim("batch"), 2: step * Dim("width"), 3: step * Dim("height")},)  # to be named in the model
        exported = torch.onnx.export(
            program, input_names=[IMAGE], output_names=[PROBABILITIES], dynamic_shapes=axes, dynamo=True, verbose=False
        )
    model = cast(torch.onnx.ONNXProgram, exported).model_proto  # which it is with dynamo
    for node in model.graph.node:
        node.ClearField("metadata_props")  # stack traces here too
    _demand_multiples(model, step)
    onnx.helper.set_model_props(model, about)
    onnx.save(model, path)


def _demand_multiples(model: Any, step: int) -> None:
    """Let an ONNX model refuse other sizes by a message that names the multiple. Works in place.

    ONNX has no assertions, and a network may fail anywhere, or not at all. So the image goes through a Reshape to its
    own size rounded down to multiples, which does nothing, or fails with its name in the message.
    """
    from onnx import helper, numpy_helper

    for node in model.graph.node:
        node.input[:] = ["image_checked" if name == IMAGE else name for name in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, step, step]), "size_steps"))
    name = f"image_sizes_must_be_multiples_of_{step}"
    nodes = [
        helper.make_node("Shape", [IMAGE], ["size"]),
        helper.make_node("Div", ["size", "size_steps"], ["size_in_steps"]),
        helper.make_node("Mul", ["size_in_steps", "size_steps"], ["size_rounded"]),
        helper.make_node("Reshape", [IMAGE, "size_rounded"], ["image_checked"], name, allowzero=1),
        *model.graph.node,
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def read(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """What :func:`write` has saved, to be run on images; ONNX Runtime uses as many threads as torch."""
    if path.suffix == ".pt2":
        return torch.export.load(path).module()
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run([PROBABILITIES], {IMAGE: image.numpy()})[0])


def check(run: Callable[[torch.Tensor], torch.Tensor], module: Probabilities, path: os.PathLike | str) -> float:
    """Run an export beside the network, on random images of several batches and sizes.

    Returns:
        the largest difference of probabilities

    Raises:
        ExportError: if it is beyond ``TOLERANCE``, or not a number.
    """
    largest = 0.0
    for batch, width, height in ((1, 2, 2), (1, 5, 2), (3, 2, 4)):
        image = torch.rand(batch, module.channels, width * module.step, height * module.step)
        difference = (run(image) - module(image)).abs().max().item()
        if not difference <= TOLERANCE:  # refuses what is not a number too
            raise ExportError(
                f"{path}: on random images of shape {tuple(image.shape)} the exported network's probabilities differ "
                f"from those of the network in torch {torch.__version__} by {difference:.2g}; {TOLERANCE:g} is "
                "allowed. Nothing was written."
            )
        largest = max(largest, difference)
    return largest


def _about(bundle: Bundle, parser: ConfigParser, module: Probabilities) -> dict[str, str]:
    """What a file says of itself: plain strings."""
    meta, size = parser["_meta_"], parser["image_size"]
    weights = Path(parser.get_parsed_content("weights"))
    beside = weights.with_suffix(".json")
    pred = meta["network_data_format"]["outputs"]["pred"]
    classes, channels = list(pred["channel_def"].values()), pred["num_channels"]
    axes = "x counts columns from the left, y rows from the top (a picture's rows and columns, transposed)"
    sizes = f"x and y are multiples of {module.step}, at least {2 * module.step}; the bundle uses {size} x {size}"
    how = "sigmoid" if channels == 1 else "softmax over channels; a pixel's label is the largest"
    # a single channel is that of the one class beside the background
    named = ", ".join(f"{channel} {name}" for channel, name in enumerate(classes[-channels:]))
    about = {key: meta[key] for key in ABOUT}
    about |= {key: json.dumps(parser[key]) for key in SETTINGS if key in parser}
    return about | {
        "bundle": bundle.name,
        "input": f"{IMAGE}: float32 (batch, {module.channels}, x, y): {axes}; {sizes}; {meta['image_classes']}",
        "output": f"{PROBABILITIES}: float32 (batch, {channels}, x, y), 0 to 1, by {how}; channels: {named}",
        "preprocessing": json.dumps(parser["preprocessing#transforms"]),
        "weights": beside.read_text(encoding="utf-8") if beside.is_file() else "",
        "weights_sha256": bundle.algorithm(weights).weights,
        "data_license": (bundle.root / "docs" / "data_license.txt").read_text(encoding="utf-8"),
        "exported_with": f"torch {torch.__version__}",
    }
