"""What an evaluation leaves on disk: metrics, a row an image, and pictures of the best, the median and the worst."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from ignite.engine import Events
from monai.engines import Workflow
from monai.networks.nets import UNet
from monai.networks.utils import eval_mode

from networks import bottom_features
from transforms import DataError, grey_levels, mask_to_boxes
from transforms.files.atomic import atomic_write

from ..engines.flow import cores
from ..manifests.manifest import DataList, is_counted
from ..provenance import configured_as, evaluated
from .binary_metrics import image_row, summarise
from .binary_pictures import Packed, draw_chosen, keep_masks, pack
from .metric_table import known_spacing, patients_of, write_metrics
from .pixels import Pixels, count_pixels, gather
from .rsna_score import CHALLENGE, average_precisions

logger = logging.getLogger(__name__)

BOTTOM = "bottom.npy"


class EvaluationReport:
    """Handler of an evaluator: measures each image in its own grid, and writes the report at the end.

    Expects in each item of the engine's output ``label`` (1, x, y), 0 or 1, and ``pred`` (1, x, y), probabilities, both
    in the image's own grid; and maybe ``features`` of the mask, numbers by name that go into its row. The loader must
    not shuffle. Cases are named by their number in the data list, so that no file name or patient gets into the report.

    Writes into ``folder``: ``metrics.json`` and ``metrics.csv``, ``images.csv``, and ``best.png``, ``median.png`` and
    ``worst.png`` of the positives by Dice. For what is asked of an evaluation later: ``pixels.npz``, see
    :class:`~pipelines.evaluation.pixels.Pixels`; ``masks.npz``, see
    :func:`~pipelines.evaluation.binary_pictures.keep_masks`; ``bottom.npy``, of each image what MONAI's U-Net makes of
    it at its bottom, see :func:`networks.bottom_features`; and where the truth is boxes ``boxes.json``, of each image
    ``found`` (each with its confidence) and ``truth``.

    Entries that are ``behind_heart`` are measured and get a row, which says so, and count in nothing else: their truth
    is drawn by another convention than that of the model.

    Args:
        folder: where the report goes.
        data: the data list that is evaluated.
        threshold: a pixel at or above it is predicted.
        box_confidence: that a box must have to count in the challenge's score; ``boxes.json`` has all.
        batch_size: of the metrics by batch, see :func:`pipelines.evaluation.binary_metrics.summarise`.
        weights: the file of those that are evaluated, whose hash ``metrics.json`` gives; None: unknown.

    Raises:
        DataError: when it starts, if no entry counts.
    """

    def __init__(
        self,
        folder: os.PathLike | str,
        data: Sequence[dict[str, Any]],
        threshold: float = 0.5,
        box_confidence: float = 0.0,
        batch_size: int = 8,
        weights: os.PathLike | str | None = None,
    ):
        self.folder = Path(folder)
        self.data = data
        self.threshold = threshold
        self.box_confidence = box_confidence
        self.batch_size = batch_size
        self.weights = weights
        self.configured = configured_as()

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, engine: Workflow) -> None:
        told = evaluated(self.data, self.weights, engine.state.device, self.configured)
        self.counted = np.array([is_counted(entry) for entry in self.data])
        left_out = int((~self.counted).sum())
        if left_out == len(self.data):
            which = f"{self.data.source[0]}, {self.data.split}: " if isinstance(self.data, DataList) else ""
            raise DataError(
                f"{which}each entry is marked behind_heart: its mask follows another convention than this model's, so "
                "that no figure means anything. Make the manifest without --behind_heart to measure them all the same."
            )
        if left_out:
            text = "%d of %d entries count in no figure: their masks count in what lies behind the heart"
            logger.warning(text, left_out, len(self.data))
        self.evaluated = told | {"threshold": self.threshold, "left_out": left_out}
        (self.folder / "metrics.json").unlink(missing_ok=True)  # it marks what is complete
        (self.folder / BOTTOM).unlink(missing_ok=True)  # which another network may not have
        self.rows: list[dict[str, float]] = []
        self.found: list[list] = []
        self.masks: list[Packed] = []
        self.pixels: list[Pixels] = []
        self.bottom: list[npt.NDArray] = []

    def iteration_completed(self, engine: Workflow) -> None:
        with ThreadPoolExecutor(cores()) as pool:  # the search for the nearest lets other threads run
            for row, boxes, pixels, mask in pool.map(self._measure, engine.state.output):
                self.rows.append(row)
                self.found.append(boxes)
                self.pixels.append(pixels)
                self.masks.append(mask)
        network = getattr(engine, "network", None)
        if isinstance(network, UNet):
            images = torch.stack([item["image"].as_tensor() for item in engine.state.output])
            with eval_mode(network):
                self.bottom += list(bottom_features(network, images).numpy())

    def _measure(self, item: dict[str, Any]) -> tuple[dict[str, float], list, Pixels, Packed]:
        """A row of the table, the boxes that were found, the counts of pixels, and both masks, packed."""
        probability, truth = (np.asarray(item[key][0].detach().cpu()) for key in ("pred", "label"))
        row = image_row(probability, truth, self.threshold, known_spacing(item["label"]))
        row |= {"columns": truth.shape[0], "rows": truth.shape[1], **item.get("features", {})}
        packed = pack(truth > 0, probability >= self.threshold)  # best, median and worst are known only at the end
        found = mask_to_boxes(item["pred"], self.threshold)
        return row, found, count_pixels(probability, truth), packed

    def completed(self, engine: Workflow) -> None:
        table = pd.DataFrame(self.rows).assign(patient=patients_of(self.data))
        if not self.counted.all():
            table["behind_heart"] = ~self.counted
        counted = table[self.counted]
        metrics = summarise(counted, self.batch_size, self.threshold)
        if all("boxes" in entry for entry in self.data):
            boxes = {"found": self.found, "truth": [entry["boxes"] for entry in self.data]}
            metrics[CHALLENGE] = average_precisions(**boxes, confidence=self.box_confidence).mean()
            self.evaluated["box_confidence"] = self.box_confidence
            with atomic_write(self.folder / "boxes.json") as file:
                json.dump(boxes, file)
        gather([self.pixels[number] for number in counted.index]).keep(self.folder / "pixels.npz")
        keep_masks(self.masks, self.folder / "masks.npz")
        if self.bottom:
            with atomic_write(self.folder / BOTTOM, "wb") as file:
                np.save(file, np.stack(self.bottom))
        with atomic_write(self.folder / "images.csv") as file:
            table.rename_axis("case").to_csv(file)
        load = engine.state.dataloader.dataset.transform

        def image(number: int) -> npt.NDArray:
            integers, levels = grey_levels(load({"image": self.data[number]["image"]}, end=1)["image"])  # reads alone
            return levels.take(integers)

        draw_chosen(counted["dice"][counted["tp"] + counted["fn"] > 0], self.masks, image, self.folder)
        write_metrics(metrics, self.folder, self.evaluated)  # last: whoever finds it takes all of them as its own
