"""What an evaluation leaves on disk: metrics, a row an image, and pictures of the best, the median and the worst."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ignite.engine import Engine, Events

from transforms.atomic_files import atomic_write

from .binary_metrics import image_row, log_metrics, summarise, surface_distances, write_metrics
from .binary_pictures import draw_cases
from .rsna_score import mask_to_boxes, mean_average_precision

SHOWN = 3  # cases in each picture


class EvaluationReport:
    """Handler of an evaluator: measures each image in its own grid, and writes the report at the end.

    Expects in each item of the engine's output ``label`` (1, x, y), 0 or 1, and ``pred`` (1, x, y), probabilities, both
    in the image's own grid. The loader must not shuffle. Cases are named by their number in the data list, so that no
    file name or patient gets into the report.

    Writes into ``folder``: ``metrics.json`` and ``metrics.csv``, ``images.csv``, and ``best.png``, ``median.png`` and
    ``worst.png`` of the positives by Dice.

    Args:
        folder: where the report goes.
        data: the data list that is evaluated.
        threshold: a pixel at or above it is predicted.
        batch_size: of the metrics by batch, see :func:`pipelines.binary_metrics.summarise`.
        surface_distance: whether to measure the average surface distance too, in pixels of the image's own grid and,
            where all files say their spacing, in millimetres.
    """

    def __init__(
        self,
        folder: os.PathLike | str,
        data: Sequence[dict[str, Any]],
        threshold: float = 0.5,
        batch_size: int = 8,
        surface_distance: bool = False,
    ):
        self.folder = Path(folder)
        self.data = data
        self.threshold = threshold
        self.batch_size = batch_size
        self.surface_distance = surface_distance

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, engine: Engine) -> None:
        self.rows: list[dict[str, float]] = []
        self.found: list[list] = []
        self.masks: list[bytes] = []

    def iteration_completed(self, engine: Engine) -> None:
        for item in engine.state.output:
            probability, truth = (np.asarray(item[key][0].detach().cpu()) for key in ("pred", "label"))
            self.rows.append(image_row(probability, truth, self.threshold))
            self.found.append(mask_to_boxes(probability, self.threshold))
            # both masks, packed and compressed to a few kilobytes, since the median is known only at the end
            self.masks.append(zlib.compress(np.packbits([truth > 0, probability >= self.threshold]).tobytes()))
            self.rows[-1] |= {"columns": truth.shape[0], "rows": truth.shape[1]}
            if self.surface_distance:
                meta = item["label"].meta
                spacing = tuple(np.abs(np.diag(meta["affine"])[:2])) if meta.get("spacing_known") else None
                self.rows[-1] |= surface_distances(probability >= self.threshold, truth > 0, spacing)

    def completed(self, engine: Engine) -> None:
        table = pd.DataFrame(self.rows)
        metrics = summarise(table, self.batch_size, self.threshold)
        if all("boxes" in entry for entry in self.data):
            score = mean_average_precision(self.found, [entry["boxes"] for entry in self.data])
            metrics["challenge_mean_average_precision_over_images_with_boxes_or_predictions"] = (
                None if np.isnan(score) else score
            )
        write_metrics(metrics, self.folder)
        with atomic_write(self.folder / "images.csv") as file:
            table.rename_axis("case").to_csv(file)
        positives = table[table["tp"] + table["fn"] > 0].sort_values("dice", kind="stable")
        if len(positives):
            middle = max(0, (len(positives) - SHOWN) // 2)
            self._draw(engine, positives.iloc[::-1][:SHOWN], "best")
            self._draw(engine, positives.iloc[middle : middle + SHOWN], "median")
            self._draw(engine, positives[:SHOWN], "worst")
        log_metrics(metrics, self.folder)

    def _draw(self, engine: Engine, table: pd.DataFrame, which: str) -> None:
        load = engine.state.dataloader.dataset.transform
        cases = []
        for number, row in table.iterrows():
            shape = (2, int(row["columns"]), int(row["rows"]))
            packed = np.frombuffer(zlib.decompress(self.masks[number]), np.uint8)
            truth, prediction = np.unpackbits(packed, count=int(np.prod(shape))).reshape(shape)
            image = load({"image": self.data[number]["image"]}, end=1)["image"]  # the first transform loads
            caption = f"case {number}: Dice {row['dice']:.2f}"
            cases.append({"image": image[0], "truth": truth, "prediction": prediction, "caption": caption})
        draw_cases(cases, self.folder / f"{which}.png", f"{which} of the positives by Dice")
