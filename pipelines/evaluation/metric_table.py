"""The metrics that all reports share, one function each, and how a report's figures are written.

A metric gets into every report by its row in OVERLAP or SURFACE: of each image in a report of radiographs, of each
organ of each case in a report of volumes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd
import torch
from monai.config import NdarrayOrTensor
from monai.data import MetaTensor
from monai.metrics.utils import get_edge_surface_distance
from monai.transforms.utils import generate_spatial_bounding_box

from transforms.files.atomic import atomic_write

logger = logging.getLogger(__name__)

SCHEMA = "urn:radbundles:metrics:1"  # pipelines/documents/metrics.schema.json

Counts = TypeVar("Counts", float, np.ndarray)


def dice(tp: Counts, fp: Counts, fn: Counts) -> Counts:
    """Dice coefficient, 2 TP / (2 TP + FP + FN)."""
    return ratio(2 * tp, 2 * tp + fp + fn)


def iou(tp: Counts, fp: Counts, fn: Counts) -> Counts:
    """Intersection over union, TP / (TP + FP + FN)."""
    return ratio(tp, tp + fp + fn)


# Of true positives, false positives and false negatives: 0 to 1, without a unit; not a number where all three are 0.
# By image or case they are taken over those whose truth is not empty.
OVERLAP: dict[str, Callable[[Counts, Counts, Counts], Counts]] = {"dice": dice, "iou": iou}

# Of the distances from each voxel of a surface to the nearest of the other, from prediction to truth and back. They
# are taken over the images or cases where both have a surface.
SURFACE: dict[str, Callable[[Sequence[torch.Tensor]], torch.Tensor]] = {
    "average_surface_distance": lambda distances: torch.cat(list(distances)).mean(),
    "hausdorff_distance_95th_percentile": lambda distances: max(one.quantile(0.95) for one in distances),
}


def measure_overlap(tp: Counts, fp: Counts, fn: Counts) -> dict[str, Counts]:
    """Every metric of OVERLAP, of one count each or of arrays of them."""
    return {name: metric(tp, fp, fn) for name, metric in OVERLAP.items()}


def measure_surface(
    prediction: NdarrayOrTensor, truth: NdarrayOrTensor, spacings: Mapping[str, Sequence[float] | None], of: str = ""
) -> dict[str, float]:
    """Every metric of SURFACE, in each unit.

    Args:
        prediction: boolean, of shape (x, y) or (x, y, z).
        truth: of the same shape.
        spacings: along the axes, by its unit; None if it is not known.
        of: added to the metrics' names, such as ``"_liver"``.

    Returns:
        such as ``average_surface_distance_liver_in_mm``; not a number where a mask is empty or a spacing not known.
    """
    found = {f"{name}{of}_in_{unit}": float("nan") for name in SURFACE for unit in spacings}
    if not (prediction.any() and truth.any()):
        return found
    # MONAI crops too, but only after it has made floats of two whole volumes
    corners = generate_spatial_bounding_box((prediction | truth)[None])
    box = tuple(slice(start, stop) for start, stop in zip(*corners, strict=True))
    masks = torch.as_tensor(prediction[box]), torch.as_tensor(truth[box])
    for unit, spacing in spacings.items():
        if spacing is not None:
            distances = get_edge_surface_distance(*masks, spacing=spacing, symmetric=True)[1]
            found |= {f"{name}{of}_in_{unit}": float(metric(distances)) for name, metric in SURFACE.items()}
    return found


def mean_surface(rows: pd.DataFrame, by: str) -> dict[str, float]:
    """The means of what :func:`measure_surface` gave, a row an image or a case (``by``) where both have a surface.

    In millimetres, only those count whose spacing is known.
    """
    columns = [column for column in rows if column.startswith(tuple(SURFACE))]
    return {f"{column}_by_{by}_where_both_have_a_surface": rows[column].mean() for column in columns}


def known_spacing(image: MetaTensor) -> tuple[float, ...] | None:
    """Millimetres along the spatial axes of an image of shape (C, x, y) or (C, x, y, z), or None if not known."""
    if not image.meta.get("spacing_known"):
        return None
    return tuple(float(length) for length in image.pixdim[: image.ndim - 1])


def metrics_of(table: pd.DataFrame) -> list[str]:
    """The columns of a table of images or cases that are metrics of OVERLAP or SURFACE."""
    return [name for name in map(str, table.columns) if name.startswith((*OVERLAP, *SURFACE))]


def patients_of(data: Sequence[Any]) -> list[int]:
    """Of each entry of a data list, a number for its patient; one of its own each where the list does not know."""
    return list(getattr(data, "patients", range(len(data))))


def ratio(part: Counts, whole: Counts) -> Counts:
    """Not a number where the whole is 0."""
    parts, wholes = np.broadcast_arrays(part, whole)
    return cast(Counts, np.divide(parts, wholes, out=np.full(parts.shape, np.nan), where=wholes > 0)[()])


def write_metrics(metrics: Mapping[str, float], folder: Path, evaluated: Mapping[str, Any]) -> None:
    """Write ``metrics.json`` and ``metrics.csv`` into a folder, and the same into the log.

    What is not a number is null in JSON, nothing in CSV, and "not defined" in the log.

    Args:
        metrics: by their names.
        folder: where they go.
        evaluated: what they were made with, see :func:`pipelines.provenance.evaluated`; in ``metrics.json`` alone.
    """
    known = {name: None if np.isnan(value) else value for name, value in metrics.items()}
    with atomic_write(folder / "metrics.csv") as file:
        pd.Series(metrics, name="value").rename_axis("metric").to_csv(file)
    with atomic_write(folder / "metrics.json") as file:
        json.dump({"$schema": SCHEMA, "evaluated": evaluated, **known}, file, indent=2)
    width = max(len(name) for name in metrics)
    shown = {name: "not defined" if np.isnan(value) else f"{value:.4g}" for name, value in metrics.items()}
    lines = [f"{name:{width}}  {value}" for name, value in shown.items()]
    logger.info("evaluation, written to %s:\n%s", folder, "\n".join(lines))
