"""How a network is made ready to run: device, precision, memory format, compilation."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import MethodType
from typing import Any, Literal, cast, get_args

import torch
from monai.data import MetaTensor
from monai.utils import convert_to_dst_type
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

Precision = Literal["auto", "float32", "bfloat16", "float16"]


class OutputError(ValueError):
    """A network gave what is no number: masks of it would be empty or full without a word. The message says it all."""

    plain = True  # shown without a traceback


class SettingError(ValueError):
    """A network cannot be run as was asked for. The message says it all."""

    plain = True  # shown without a traceback


def fast_precision(device: torch.device | str) -> torch.dtype:
    """bfloat16 where the device computes it in hardware, else float32.

    Without AMX or AVX512-BF16 a CPU emulates bfloat16 and is several times slower than in float32.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu":
        can: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch does not tell
        return torch.bfloat16 if can.get("amx_bf16") or can.get("avx512_bf16") else torch.float32
    return torch.float32


def usable_device(device: torch.device | str) -> torch.device:
    """A device that something was put on.

    Raises:
        SettingError: if this machine or its PyTorch does not have it, or it cannot be used now.
    """
    try:
        return torch.empty(0, device=torch.device(device)).device
    except Exception as error:  # of another kind for each device and version of torch
        reason = str(error).splitlines()[0].split(". ")[0].rstrip(".")
        raise SettingError(f"device is '{device}' and cannot be used: {reason}. Leave it out, or give cpu.") from error


def prepare(
    network: nn.Module,
    device: torch.device | str,
    precision: Precision = "auto",
    compile: bool = False,
    dropout: float = 0.0,
) -> nn.Module:
    """Make a 2D network ready to run, for training and inference alike. Works in place.

    MONAI's engines write ``torch.autocast("cuda")``, which does nothing elsewhere. So the autocast, of the network's
    own device, goes into ``forward``: every engine gets it, and so does every program that only knows the module. The
    names and the shapes of the state dict stay as they are. ``torch.jit.script``, and so MONAI's ``ckpt_export``, gets
    the network as it was before, in float32: a scripted program knows neither MetaTensors nor our checks.

    Args:
        network: takes images of shape (N, C, H, W).
        device: where its parameters go.
        precision: what convolutions compute in; ``"auto"`` is :func:`fast_precision`. float16 has no gradient scaler
            here: use it for inference only. Parameters, and what the network returns, stay float32.
        compile: whether to compile with ``torch.compile``: the first step takes a minute or more.
        dropout: above 0 makes ``train()`` mean Monte Carlo dropout (Gal and Ghahramani 2016): the network's dropout
            layers get this rate and are active, and batch norm goes on with its learnt statistics. MONAI Label's
            scoring sets it, to tell images apart by how unsure the network is. Not for training.

    Returns:
        ``network``, its convolutions in channels-last order. But for training its outputs are checked: where one is
        not finite it raises OutputError.

    Raises:
        SettingError: if the precision is not known, the device cannot be used, or dropout is wanted of a network
            without dropout layers.
    """
    if precision not in get_args(Precision):
        raise SettingError(f"precision is {precision!r}: give one of {', '.join(get_args(Precision))}.")
    device = usable_device(device)
    # torch's annotations do not know both together
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    prepared = cast(_Prepared, network)
    prepared.autocast_dtype = fast_precision(device) if precision == "auto" else getattr(torch, precision)
    # nothing is closed over the instance, so that copy.deepcopy makes a network of its own
    prepared.compute = torch.compile(type(network).forward) if compile else type(network).forward
    prepared.forward = MethodType(_forward, network)
    prepared.__prepare_scriptable__ = MethodType(_unprepared, network)
    if dropout:
        layers = [layer for layer in network.modules() if isinstance(layer, _DropoutNd)]
        if not layers:
            raise SettingError(f"{type(network).__name__} has no dropout layers. Build it with a dropout of 0.")
        for layer in layers:
            layer.p = dropout
        network.train = MethodType(_train_dropout, network)  # type: ignore[method-assign]
    return network


class _Prepared(nn.Module):
    """What :func:`prepare` adds to a network; for type checkers alone, since the network keeps its class."""

    autocast_dtype: torch.dtype
    compute: Callable[[nn.Module, torch.Tensor], torch.Tensor]
    __prepare_scriptable__: Callable[[], nn.Module]


def _unprepared(self: nn.Module) -> nn.Module:
    """What torch compiles in the network's place: the same layers, with the forward of its class."""
    plain = copy.copy(self)
    for name in (*_Prepared.__annotations__, "forward"):
        del plain.__dict__[name]
    plain.__dict__.pop("train", None)
    return plain


def _train_dropout(self: nn.Module, mode: bool = True) -> nn.Module:
    type(self).train(self, mode)
    for layer in self.modules():
        if isinstance(layer, _BatchNorm):
            layer.eval()
    return self


def _forward(self: _Prepared, image: torch.Tensor) -> torch.Tensor:
    # compilation does not know MetaTensors, https://github.com/pytorch/pytorch/issues/117026; and without them any
    # network is faster
    tensor = image.as_tensor() if isinstance(image, MetaTensor) else image
    tensor = tensor.contiguous(memory_format=torch.channels_last)
    enabled = self.autocast_dtype != torch.float32
    with torch.autocast(tensor.device.type, dtype=self.autocast_dtype if enabled else None, enabled=enabled):
        output = self.compute(self, tensor).float()
    # here, since all that predicts or measures comes by; in training the loss tells, and a GPU is not to wait; and what
    # is compiled or exported as a whole, by torch.export or for ONNX, cannot branch on values
    if not (self.training and torch.is_grad_enabled()) and not torch.compiler.is_compiling():
        _check_finite(output, image)
    return convert_to_dst_type(output, image)[0] if isinstance(image, MetaTensor) else output


def _check_finite(output: torch.Tensor, image: torch.Tensor) -> None:
    finite = torch.isfinite(output)
    if finite.all():
        return
    if torch.isfinite(image).all():
        fault = "its weights are damaged, its training has diverged, or its precision is too low. Give other weights"
        fault += ", train with a smaller learning_rate, or set precision to float32."
    else:
        fault = "the image holds such values itself. Leave it out, or export it again."
    name = image.meta.get("filename_or_obj") if isinstance(image, MetaTensor) else None
    raise OutputError(
        f"{f'{name}: ' if isinstance(name, str) else ''}{(~finite).sum():,} of {finite.numel():,} values that the "
        f"network gave are not finite: {fault}"
    )
