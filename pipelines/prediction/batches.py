"""Batches of images for MONAI's evaluator: read ahead by threads, and given back each by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, cast

import torch
from ignite.engine import Engine
from monai.data import Dataset, MetaTensor
from monai.engines import IterationEvents, SupervisedEvaluator
from monai.utils import TraceKeys, convert_to_dst_type

from ..engines.flow import cores, flow

Data = Mapping[Hashable, Any]


class PerThread:
    """A transform for several threads, each with its own copy: MONAI's note in themselves what they are doing.

    What one copy did can be inverted by another.

    Args:
        transform: of dictionaries.
    """

    def __init__(self, transform: Callable[[Data], dict[Hashable, Any]]):
        self.transform = transform
        self.own = threading.local()

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        if not hasattr(self.own, "transform"):
            self.own.transform = deepcopy(self.transform)
        result: dict[Hashable, Any] = self.own.transform(data)
        for value in result.values():
            for done in value.applied_operations if isinstance(value, MetaTensor) else ():
                done[TraceKeys.ID] = TraceKeys.NONE
        return result


class ReadAhead:
    """A loader of lists of items, in their order, which threads read while the engine computes.

    Items need not be of one size. Decoding, in processes of its own, and resampling let threads run beside each other.
    At most `4 * batch_size` items are read ahead of the engine. See :func:`evaluate_batch`, which takes such lists.

    Args:
        dataset: with a transform.
        batch_size: items in a list; the last may be shorter.
    """

    def __init__(self, dataset: Dataset, batch_size: int = 1):
        self.dataset = dataset
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[list[dict[Hashable, Any]]]:
        read = PerThread(self.dataset.transform)
        batch: list[dict[Hashable, Any]] = []
        for _, item in flow(self.dataset.data, read, list, lambda item: item, cores(), self.batch_size):
            batch.append(item)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch:
            yield batch


def evaluate_batch(engine: Engine, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """An iteration of an evaluator whose images go through the network together and are finished each by itself.

    To be given as the engine's ``iteration_update``, with ``decollate`` of False. What follows, postprocessing and
    handlers, sees what it sees of a batch that MONAI has taken apart.

    Args:
        engine: a SupervisedEvaluator, whose network and inferer are used.
        items: of :class:`ReadAhead`, with ``image`` of one shape, and ``label`` of any.

    Returns:
        ``image``, ``label`` and ``pred`` of each item, the latter a MetaTensor that knows its image.
    """
    evaluator = cast(SupervisedEvaluator, engine)
    images = torch.stack([item["image"].as_tensor() for item in items]).to(evaluator.state.device)
    with evaluator.mode(evaluator.network):
        predicted = evaluator.inferer(images, evaluator.network).cpu()
    output = [
        {
            "image": item["image"],
            "label": item["label"],
            "pred": convert_to_dst_type(one, item["image"], dtype=one.dtype)[0],
        }
        for item, one in zip(items, predicted, strict=True)
    ]
    evaluator.state.output = output
    engine.fire_event(IterationEvents.FORWARD_COMPLETED)
    engine.fire_event(IterationEvents.MODEL_COMPLETED)
    return output
