"""What is done to a case, in three stages that can run at the same time for different cases: read, compute, write."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from monai.bundle import ConfigParser

from transforms import Case, DiskError, plain_error

from .batches import PerThread
from .model import Inference
from .records import Records

logger = logging.getLogger(__name__)


@dataclass
class Underway:
    """A case between two stages: what is known of it, how long it took, and what went wrong."""

    case: Case
    data: dict[Hashable, Any]
    error: Exception | None = None
    seconds: float = 0


class Stages:
    """The stages of a bundle's prediction. What goes wrong in one is kept with its case.

    Args:
        parser: of the bundle's ``inference.json``.
        records: say what was written.
        boxes: whether records hold boxes, for a bundle that finds them.

    Raises:
        WeightsError: if the weights do not fit.
    """

    def __init__(self, parser: ConfigParser, records: Records, boxes: bool):
        self.inference = Inference(parser, boxes)
        self.device = self.inference.device
        self.output = PerThread(parser.get_parsed_content("outputs"))
        self.temperature = parser.get("temperature")
        self.records = records

    def read(self, case: Case) -> Underway:
        """From the case's files to what the network takes."""
        one = Underway(case, {"image": case.image, "sources": [str(path) for path in case.files]})
        with _noting(one):
            one.data = self.inference.read(one.data)
        return one

    def compute(self, batch: Sequence[Underway]) -> Sequence[Underway]:
        """From what the network takes, of one shape, to what it gives."""
        good = [one for one in batch if one.error is None]
        if not good:
            return batch
        with _noting(*good):
            self.inference.compute([one.data for one in good])
        if len(good) > 1 and good[0].error is not None:  # each alone: one's fault is not another's
            for one in good:
                one.error = None
                self.compute([one])
        return batch

    def write(self, one: Underway) -> dict[str, Any]:
        """From what the network gave to files. Returns the case's record.

        Raises:
            DiskError: if nothing more can be written.
        """
        record: dict[str, Any] = {}
        if one.error is None:
            with _noting(one), torch.no_grad():
                data = self.output(self.inference.finish(one.data))
                if "boxes" in data:
                    record["boxes"] = data["boxes"]
                if self.temperature is not None:
                    record["temperature"] = self.temperature
                check = data.get("check", {})
                record |= {name: check[name] for name in ("frontal", "quality") if name in check}
                record["outputs"] = self.records.describe(data["written"])
        if one.error is None:
            return {"status": "done", "seconds": round(one.seconds, 2), **record}
        plain = plain_error(one.error)
        if isinstance(plain, DiskError):  # the next case's outputs will not be written either
            raise plain from None
        logger.debug("%s", one.case.path, exc_info=one.error)
        text = str(plain).removeprefix(f"{one.case.path}: ") if plain else f"{type(one.error).__name__}: {one.error}"
        return {"status": "failed", "error": text.strip().split("\n")[0]}


def stages_of(config: Mapping[str, Any], records: Records, boxes: bool) -> Stages:
    """:class:`Stages` of what a parser holds, which can be pickled, as a parser cannot."""
    return Stages(ConfigParser(config), records, boxes)


@contextmanager
def _noting(*cases: Underway) -> Iterator[None]:
    """While something is done to cases: its time is theirs, in equal parts, and so is an error."""
    start = time.monotonic()
    try:
        yield
    except Exception as error:
        for one in cases:
            one.error = error
    for one in cases:
        one.seconds += (time.monotonic() - start) / len(cases)
