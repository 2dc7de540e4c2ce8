"""Images a second of an evaluation, beside the way of before: one by one, and surfaces measured in whole masks."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

from networks import load_weights
from transforms import DataError, mask_to_boxes

from ..bundle import Bundle
from ..evaluation.binary_report import EvaluationReport
from ..evaluation.metric_table import known_spacing
from ..prediction.batches import ReadAhead, evaluate_batch

ROUNDS, PATIENTS, SIDE = 3, 16, 1024  # of the phantoms: how many, and their rows and columns


def evaluation(bundle: Bundle) -> None:
    """Time both ways of evaluating a bundle of radiographs, in turn, on phantoms, without the pictures of the end.

    Args:
        bundle: with its own weights if they are there, or random ones.

    Raises:
        DataError: for a bundle of CT.
    """
    if bundle.is_volumetric:
        raise DataError(f"{bundle.name}: evaluation is timed on radiographs: give another bundle.")
    with tempfile.TemporaryDirectory() as folder:
        drawn = {"folder": f"{folder}/data", "patients": PATIENTS, "size": SIDE}
        drawn_as = bundle.read(["train"], **{f"phantoms#{key}": value for key, value in drawn.items()})
        data = Path(drawn_as.get_parsed_content("phantoms"))
        places = {"dataset_dir": str(data), "manifest": str(data / "manifest.json"), "split": "training"}
        parser = bundle.read(["train", "evaluate"], **places, output_dir=folder)
        dataset, engines = parser.get_parsed_content("validate#dataset"), _engines(bundle, parser)
        times: dict[str, list[float]] = {name: [] for name in engines}
        for number in range(ROUNDS + 1):  # in turn; the first warms up
            for name, engine in engines.items():
                since = time.perf_counter()
                engine.run()
                if number:
                    times[name].append(time.perf_counter() - since)
    images, threads = len(dataset), torch.get_num_threads()
    print(f"medians of {ROUNDS} rounds of {images} images of {SIDE}², {threads} threads of {os.cpu_count()} cores")
    for name, found in times.items():
        print(f"{name:8}{images / statistics.median(found):8.2f}/s")
    ratio = statistics.median(old / new for old, new in zip(times["before"], times["after"], strict=True))
    print(f"{ratio:.2f} times as fast")


def _engines(bundle: Bundle, parser: Any) -> dict[str, SupervisedEvaluator]:
    dataset, threshold = (parser.get_parsed_content(key) for key in ("validate#dataset", "threshold"))
    shared = {key: parser.get_parsed_content(key) for key in ("device", "network")}
    shared["postprocessing"] = parser.get_parsed_content("validate#postprocessing")
    if bundle.weights.is_file():
        load_weights(shared["network"], bundle.weights)
    before = SupervisedEvaluator(val_data_loader=DataLoader(dataset, batch_size=1), **shared)
    before.add_event_handler(Events.ITERATION_COMPLETED, _measure_whole, threshold)
    batches = ReadAhead(dataset, parser["batch_size"])
    after = SupervisedEvaluator(val_data_loader=batches, iteration_update=evaluate_batch, decollate=False, **shared)
    report = EvaluationReport(parser.get_parsed_content("output_dir"), dataset.data, threshold)
    after.add_event_handler(Events.STARTED, report.started)
    after.add_event_handler(Events.ITERATION_COMPLETED, report.iteration_completed)
    return {"before": before, "after": after}


def _measure_whole(engine: SupervisedEvaluator, threshold: float) -> None:
    """What a report does with an image, with MONAI's metrics of the whole masks, each by itself."""
    for item in engine.state.output:
        probability, truth = (item[key][0].as_tensor() for key in ("pred", "label"))
        predicted, true = probability >= threshold, truth > 0
        (predicted & true).sum(), (predicted & ~true).sum(), (~predicted & true).sum()
        mask_to_boxes(item["pred"], threshold)
        masks = predicted[None, None], true[None, None]
        for spacing in ((1.0, 1.0), known_spacing(item["label"])) if predicted.any() and true.any() else ():
            if spacing is not None:
                compute_average_surface_distance(*masks, include_background=True, symmetric=True, spacing=spacing)
                compute_hausdorff_distance(*masks, include_background=True, percentile=95, spacing=spacing)
