"""What an evaluation of volumes in several classes leaves on disk: metrics, a row a case, curves and pictures."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator

from networks import VolumeInferer
from transforms.files.atomic import atomic_write

from ..provenance import configured_as, evaluated
from .metric_table import OVERLAP, known_spacing, mean_surface, measure_surface, patients_of, write_metrics
from .multiclass_metrics import RocHistograms, confusion_matrix, overlap_by_class
from .multiclass_pictures import draw_class_cases, draw_confusion, draw_roc
from .ranking import best_median_worst


class ClassReport:
    """Handler of an evaluator: measures each volume in its own grid, and writes the report at the end.

    Expects in each item of the engine's output ``label`` and ``pred``, labels of shape (1, x, y, z) in the image's own
    grid; a :class:`networks.VolumeInferer` as the engine's inferer; and batches that are lists of one item, as those of
    :class:`pipelines.ReadAhead`, with ``image`` in 0 to 1 and ``network_label``, the truth, both in the network's grid,
    (1, x, y, z). The loader must not shuffle. Cases are named by their number in the data list, so that no file name or
    patient gets into the report.

    Confusion, accuracy, Dice, IoU and the metrics of surfaces, in millimetres, are of the labels in the images' own
    grids. ROC curves need probabilities, which exist in the network's grid: they are gathered there, slice by slice,
    into histograms (:class:`~pipelines.evaluation.multiclass_metrics.RocHistograms`), so that those of a slice, never
    of a volume, are in memory.

    Writes into ``folder``: ``metrics.json`` and ``metrics.csv``, ``cases.csv``, ``confusion_matrix.csv`` and
    ``.png``, ``roc.png``, and ``best.png``, ``median.png`` and ``worst.png`` of the cases with an organ, by the mean
    Dice of their organs: of each case the slice that shows the most organs, in the network's grid.

    Args:
        folder: where the report goes.
        classes: the labels' names, the background first.
        weights: the file of those that are evaluated, whose hash ``metrics.json`` gives; None: unknown.
    """

    def __init__(self, folder: os.PathLike | str, classes: Sequence[str], weights: os.PathLike | str | None = None):
        self.folder = Path(folder)
        self.classes = list(classes)
        self.weights = weights
        self.configured = configured_as()

    def attach(self, engine: SupervisedEvaluator) -> None:
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.ITERATION_STARTED, self.iteration_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, engine: SupervisedEvaluator) -> None:
        data = engine.state.dataloader.dataset.data
        self.evaluated = evaluated(data, self.weights, engine.state.device, self.configured)
        (self.folder / "metrics.json").unlink(missing_ok=True)  # it marks what is complete
        self.counts = np.zeros((len(self.classes), len(self.classes)), np.int64)
        self.roc = RocHistograms(len(self.classes))
        self.rows: list[dict[str, float]] = []
        self.slices: list[tuple[tuple[int, int], bytes]] = []
        cast(VolumeInferer, engine.inferer).observe = self._observe

    def iteration_started(self, engine: SupervisedEvaluator) -> None:
        items = engine.state.batch
        if len(items) != 1:
            raise ValueError(f"a batch holds {len(items)} volumes; the report takes one at a time.")
        self.image, self.truth = (items[0][key][0].as_tensor() for key in ("image", "network_label"))
        voxels = torch.stack([(self.truth == number).sum(dim=(0, 1)) for number in range(1, len(self.classes))])
        # as many organs as possible, and of slices with as many the one with the most of them
        most = (voxels > 0).sum(dim=0) * self.truth[..., 0].numel() + voxels.sum(dim=0)
        self.place = int(most.argmax()) if most.any() else self.truth.shape[-1] // 2

    def _observe(self, logits: torch.Tensor, places: list[int]) -> None:
        truth = self.truth[..., places].movedim(-1, 0)[:, None].to(logits.device)
        logits = logits.as_tensor() if hasattr(logits, "as_tensor") else logits
        self.roc.add(logits.float().softmax(dim=1), truth)
        if self.place in places:
            image = (self.image[..., self.place].clamp(0, 1) * 255).round()
            called = logits[places.index(self.place)].argmax(dim=0)
            shown = [part.cpu().to(torch.uint8) for part in (image, self.truth[..., self.place], called)]
            # compressed, since best, median and worst are known only at the end
            self.slices.append((tuple(image.shape), zlib.compress(torch.stack(shown).numpy().tobytes())))

    def iteration_completed(self, engine: SupervisedEvaluator) -> None:
        for item in engine.state.output:
            truth, predicted = (item[key][0].as_tensor().cpu() for key in ("label", "pred"))
            counts = confusion_matrix(truth, predicted, len(self.classes))
            self.counts += counts
            by_class, voxels = overlap_by_class(counts), counts.sum(axis=1)
            organs = by_class["dice"][1:][voxels[1:] > 0]
            row = {"dice_mean_of_organs": organs.mean() if len(organs) else np.nan}
            for number, name in enumerate(self.names):
                row |= {f"{metric}_{name}": values[number] for metric, values in by_class.items()}
                row[f"voxels_{name}"] = int(voxels[number])
                if number:  # a background's surface is that of the organs
                    masks = predicted == number, truth == number
                    row |= measure_surface(*masks, {"mm": known_spacing(item["label"])}, of=f"_{name}")
            self.rows.append(row)

    @property
    def names(self) -> list[str]:
        return [name.replace(" ", "_") for name in self.classes]

    def completed(self, engine: SupervisedEvaluator) -> None:
        cast(VolumeInferer, engine.inferer).observe = None
        table = pd.DataFrame(self.rows).assign(patient=patients_of(engine.state.dataloader.dataset.data))
        with atomic_write(self.folder / "cases.csv") as file:
            table.rename_axis("case").to_csv(file)
        with atomic_write(self.folder / "confusion_matrix.csv") as file:
            pd.DataFrame(self.counts, self.classes, self.classes).rename_axis("true \\ predicted").to_csv(file)
        draw_confusion(self.counts, self.classes, self.folder / "confusion_matrix.png")
        areas = [self.roc.area(number) for number in range(len(self.classes))]
        curves = {
            f"{name}: area {area:.4f} ± {error:.0e}": self.roc.curve(number)
            for number, (name, (area, error)) in enumerate(zip(self.classes, areas, strict=True))
            if not np.isnan(area)
        }
        draw_roc(curves, self.folder / "roc.png")
        self._draw_cases(table)
        # last: whoever finds it takes all of them as its own
        write_metrics(self._metrics(table), self.folder, self.evaluated)

    def _metrics(self, table: pd.DataFrame) -> dict[str, float]:
        """Each named after over what it is taken: ``pooled_over_all`` takes the voxels of all cases as one."""
        pooled = overlap_by_class(self.counts)
        metrics = {
            "cases": len(table),
            "voxel_accuracy_pooled_over_all": float(np.diag(self.counts).sum() / self.counts.sum()),
            **{f"{name}_mean_of_organs_pooled_over_all": pd.Series(pooled[name][1:]).mean() for name in OVERLAP},
            "dice_mean_of_organs_by_case": table["dice_mean_of_organs"].mean(),
        }
        for number, name in enumerate(self.names):
            area, error = self.roc.area(number)
            present = table[f"voxels_{name}"] > 0
            metrics[f"cases_with_{name}"] = int(present.sum())
            for metric in OVERLAP:
                metrics[f"{metric}_{name}_pooled_over_all"] = pooled[metric][number]
                metrics[f"{metric}_{name}_by_case_over_cases_with_it"] = table[f"{metric}_{name}"][present].mean()
            metrics[f"roc_auc_{name}_by_voxel_of_the_network"] = area
            metrics[f"roc_auc_{name}_error_at_most"] = error
        return metrics | mean_surface(table, "case")

    def _draw_cases(self, table: pd.DataFrame) -> None:
        for which, cases in best_median_worst(table["dice_mean_of_organs"]).items():
            drawn = []
            for number, dice in cases.items():
                shape, packed = self.slices[number]
                image, truth, called = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(3, *shape)
                caption = f"case {number}: mean Dice of organs {dice:.2f}"
                drawn.append({"image": image / 255, "truth": truth, "prediction": called, "caption": caption})
            title = f"{which} of the cases by mean Dice of their organs; the slice that shows most organs"
            draw_class_cases(drawn, self.classes, self.folder / f"{which}.png", title)
