"""The RSNA Pneumonia Detection Challenge's submission: a row an image, with its boxes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from ignite.engine import Events
from monai.engines import Workflow

from transforms import Box, DataError, check_writable, image_name, mask_to_boxes
from transforms.files.atomic import atomic_write

logger = logging.getLogger(__name__)


class Submission:
    """Handler of an evaluator: writes the boxes of all images as the challenge's submission.

    Its rows are named after the images' files, which the challenge names after its patients: so it is a file of its
    own, only on demand.

    Args:
        path: the CSV to write.
        threshold: a pixel at or above it belongs to a box.
        box_confidence: that a box must have.
    """

    def __init__(self, path: os.PathLike | str, threshold: float = 0.5, box_confidence: float = 0.0):
        self.path = Path(path)
        self.threshold = threshold
        self.box_confidence = box_confidence
        check_writable([self.path.absolute().parent])

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, engine: Workflow) -> None:
        self.found: list[tuple[str, list]] = []

    def iteration_completed(self, engine: Workflow) -> None:
        for item in engine.state.output:
            probability = item["probability"]
            boxes = mask_to_boxes(probability, self.threshold, self.box_confidence)
            self.found.append((probability.meta["filename_or_obj"], boxes))

    def completed(self, engine: Workflow) -> None:
        write_submission(self.found, self.path)


def write_submission(found: Iterable[tuple[str, Sequence[tuple[float, Box]]]], path: os.PathLike | str) -> None:
    """Write the challenge's CSV: ``patientId,PredictionString``, the string ``confidence x y width height ...``.

    Args:
        found: an image's file, whose name is its ``patientId``, and its boxes, if any.
        path: the file to write.

    Raises:
        DataError: if two images have one name.
    """
    rows: dict[str, str] = {}
    for image, boxes in found:
        name = image_name(image)
        if name in rows:
            raise DataError(f"{name}: two images have this name, and the submission has a row a name.")
        rows[name] = " ".join(f"{confidence:.4f} {' '.join(f'{v:g}' for v in box)}" for confidence, box in boxes)
    with atomic_write(path) as file:
        pd.DataFrame(rows.items(), columns=["patientId", "PredictionString"]).to_csv(file, index=False)
    logger.info("wrote the boxes of %d images to %s", len(rows), path)
