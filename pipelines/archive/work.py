"""A series in a folder, from its files to results: what a case is to a tree of images. Knows no network protocol."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transforms import DataError, index_images

from ..prediction.predict import Prediction
from ..prediction.records import Records
from ..prediction.stages import Stages, Underway


@dataclass
class Begun:
    """A series between two stages: its images, why some of its files are none, and what is wrong with all of it."""

    folder: Path
    cases: list[Underway] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    error: str = ""


class SeriesWork:
    """Reads, computes and writes series, whose folders lie in the prediction's input.

    Args:
        prediction: of the bundle, made ready.

    Attributes:
        records: what was done, a series by its folder's path in the input.
    """

    def __init__(self, prediction: Prediction):
        self.input, self.output = prediction.input, prediction.output
        self.records = Records(prediction.output, prediction.settings)
        self.stages = Stages(prediction.parser, self.records, prediction.bundle.finds_boxes)
        self.reader = prediction.parser.get_parsed_content("reader")

    def read(self, folder: Path) -> Begun:
        """From a series' files to what the network takes."""
        begun = Begun(folder)
        try:
            index = index_images(folder, deepcopy(self.reader))
        except DataError as error:
            begun.error = str(error)
            return begun
        begun.left_out = [f"{path.name}: {reason}" for path, reason in index.left_out]
        begun.cases = [self.stages.read(case) for case in index.cases]
        faults = [f"{path.name}: {reason}" for path, reason in index.faults]
        if not begun.cases and (faults or not begun.left_out):
            begun.error = faults[0] if faults else "the series is empty"
        return begun

    def compute(self, batch: Sequence[Begun]) -> Sequence[Begun]:
        """From what the network takes to what it gives."""
        for begun in batch:
            for one in begun.cases:
                self.stages.compute([one])
        return batch

    def write(self, begun: Begun) -> dict[str, Any]:
        """From what the network gave to files. Returns the series' record: it is done if all of its images are.

        One that holds nothing but images of other kinds, such as radiographs from the side, is done and has no images.

        Raises:
            DiskError: if nothing more can be written.
        """
        written = {one.case.path.name: self.stages.write(one) for one in begun.cases}
        errors = [f"{name}: {record['error']}" for name, record in written.items() if record["status"] != "done"]
        errors += [begun.error] if begun.error else []
        outputs = {name: what for record in written.values() for name, what in record.pop("outputs", {}).items()}
        record: dict[str, Any] = {"status": "failed", "error": errors[0]} if errors else {"status": "done"}
        record |= {"seconds": round(sum(one.seconds for one in begun.cases), 2), "outputs": outputs, "images": written}
        return record | ({"left_out": begun.left_out} if begun.left_out else {})
