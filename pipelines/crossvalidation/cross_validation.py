"""Cross-validation of a bundle: each image is predicted once, by a model that has not seen its patient."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from monai.bundle import ConfigParser
from monai.transforms import Compose

from networks import read_about
from transforms import DataError, check_keys, check_writable, grey_levels
from transforms.files.atomic import atomic_write

from ..bundle import Bundle, evaluated_with
from ..evaluation.binary_metrics import summarise
from ..evaluation.binary_pictures import draw_chosen, load_masks
from ..evaluation.metric_table import write_metrics
from ..evaluation.pixels import Pixels, gather
from ..evaluation.rsna_score import CHALLENGE, average_precisions
from ..manifests.manifest import images_of, is_counted, manifest_hash, read_manifest
from ..provenance import OVERRIDES, SETTINGS, learnt_from, shown_command, shown_settings, surroundings_of
from ..reporting.intervals import Interval, mean_interval
from ..reporting.report import write_pooled_report, write_report
from .folds import KEPT, check_same_folds, write_folds
from .kept_split import evaluate_kept
from .running import run_bundle

logger = logging.getLogger(__name__)

OPTIONS = ("epochs", "reader#unknown_spacing")  # of the command, which override the configuration


def cross_validate(
    bundle: Bundle,
    manifest: os.PathLike | str,
    dataset_dir: os.PathLike | str,
    output_dir: os.PathLike | str,
    folds: int = 5,
    seed: int = 0,
    overlays: Sequence[str] = (),
    evaluation: Sequence[str] = (),
    trained: os.PathLike | str | None = None,
    against: os.PathLike | str | None = None,
    keep_test: bool = False,
    **overrides: Any,
) -> dict[str, Any]:
    """Train and evaluate a bundle on each fold, and pool what was measured on each image.

    The patients of all splits of the manifest, or of all but its test split, are divided again. A fold that was
    evaluated already is not run again, and one that was stopped goes on after its last epoch, so the command can be
    stopped and repeated.

    Writes ``fold_K.json`` and ``fold_K/`` for each fold; ``cross_validation.json``: the mean Dice and IoU by image over
    positives, each with its 95 % interval by :func:`~pipelines.reporting.intervals.mean_interval`; and as an evaluation
    does, of all images that were held out as one, ``metrics.json``, ``metrics.csv``, ``images.csv``, ``pixels.npz``,
    ``boxes.json`` where the truth is boxes, pictures of the best, the median and the worst, and the report of
    :mod:`pipelines.reporting.report`.

    Args:
        bundle: what is trained and evaluated; one that marks a single class.
        manifest: whose images are used.
        dataset_dir: what its paths are relative to.
        output_dir: where all goes.
        folds: how many.
        seed: of the folds and of each training.
        overlays: names of the bundle's overlays, such as ``usual_way``.
        evaluation: names of overlays of the evaluation alone, such as ``in_lungs``.
        trained: the output folder of another cross-validation with the same manifest, folds and seed, whose models are
            evaluated: nothing is trained.
        against: the output folder of another cross-validation with the same manifest, folds and seed: the mean
            difference to it, image by image, is reported with its interval too.
        keep_test: whether the manifest's test split stays out of the folds. At the end each fold's model and their
            ensemble are evaluated on it, below ``kept_test``, where the ensemble has a report of its own; what it
            gains is the key ``ensemble`` of ``cross_validation.json``, see
            :func:`~pipelines.crossvalidation.kept_split.compare_with_singles`.
        overrides: of the configuration.

    Returns:
        what ``cross_validation.json`` holds.

    Raises:
        DataError: if there are fewer than three patients a fold, no test split to keep, a fold fails, the folder holds
            the results of other settings, ``trained`` has other folds or ``against`` other images, or the bundle's
            evaluation gives no table of images.
    """
    output_dir = Path(output_dir)
    if not bundle.gives_probabilities:
        raise DataError(f"{bundle.root}: its evaluation has no table of images, so it cannot be cross-validated.")
    check_writable([output_dir])
    chosen = {"folds": folds, "seed": seed, "overlays": list(overlays), "evaluation": list(evaluation)}
    if keep_test:
        chosen["keep_test"] = True
    given = {**chosen, "trained": trained, **{key: overrides[key] for key in OPTIONS if key in overrides}}
    given |= {OVERRIDES: {key: value for key, value in overrides.items() if key not in OPTIONS}}
    chosen |= {"trained": str(trained), **{key: str(value) for key, value in overrides.items()}}
    content = read_manifest(manifest)
    configured = bundle.read(["train", *overlays], **overrides)
    check_keys(bundle.configs, known=SETTINGS.values(), parser=configured)
    _check_unseen(configured, content, dataset_dir)
    manifests = write_folds(content, output_dir, chosen)
    if trained is not None:
        for fold, _ in manifests:
            check_same_folds(fold, Path(trained) / fold.name)
    evaluating = evaluated_with(overlays, evaluation)
    tables = []
    for number, (fold, entries) in enumerate(manifests):
        folder = output_dir / f"fold_{number}"
        if not (folder / "test" / "metrics.json").is_file():
            settings = {"manifest": fold, "dataset_dir": dataset_dir, "seed": seed, **overrides}
            settings |= {"ckpt_dir": Path(trained or output_dir) / folder.name / "models", "output_dir": folder}
            if trained is None:
                training = settings | {"resume": "auto"}  # a training that was stopped goes on
                run_bundle(bundle, bundle.files(["train", *overlays]), "training", training)
            settings |= {"overlays": list(overlays), "evaluation": list(evaluation)}
            run_bundle(bundle, bundle.files(evaluating), "evaluating", settings)
        table = pd.read_csv(folder / "test" / "images.csv")
        # masks are named by their images, which are not named here: the numbers of case and patient are enough
        tables.append(table.assign(fold=number, patient=[entry["patient_id"] for entry in entries]))
    entries = [entry for _, tested in manifests for entry in tested]
    images = pd.concat(tables, ignore_index=True)
    counted = np.array([is_counted(entry) for entry in entries])
    if not counted.all():
        images["behind_heart"] = ~counted
    with atomic_write(output_dir / "images.csv") as file:
        images.to_csv(file, index=False)
    folders = [output_dir / f"fold_{number}" / "test" for number in range(folds)]
    boxes = _pool(output_dir, folders)
    evaluated = {"data": content["name"], "split": "cross-validation", "manifest": manifest_hash(content)}
    evaluated |= {"weights": None, "left_out": int((~counted).sum()), **surroundings_of(folders)}
    evaluated |= {"settings": {"bundle": bundle.name, **shown_settings(given)}}
    parser = bundle.read(evaluating, **overrides)
    threshold, measured = parser["threshold"], images[counted]
    metrics = {
        name: value
        for name, value in summarise(measured, len(measured), threshold).items()
        if "_by_batch_of_" not in name  # which are of the order of one list
    }
    evaluated |= {"threshold": threshold}
    if boxes is not None:
        confidence = parser.get_parsed_content("box_confidence")
        metrics[CHALLENGE] = average_precisions(**boxes, confidence=confidence)[counted].mean()
        evaluated |= {"box_confidence": confidence}
    write_metrics(metrics, output_dir, evaluated)
    positives = measured[measured["tp"] + measured["fn"] > 0]
    _draw(output_dir, folders, positives["dice"], images_of(entries, dataset_dir), parser)
    result: dict[str, Any] = {"folds": folds, "seed": seed, "images": len(measured), "positives": len(positives)}
    intervals: dict[str, Interval] = {}
    for metric in ("dice", "iou"):
        intervals[f"{metric}_by_image_over_positives"] = mean_interval(positives[metric], positives["patient"])
    if against is not None:
        intervals["dice_difference_by_image_over_positives"] = _difference(positives, Path(against), images)
    for name, value in [*result.items(), *intervals.items()]:
        logger.info("%s: %s", name, value)
    result |= {name: interval.as_dict() for name, interval in intervals.items()}
    command = f"{shown_command('crossvalidate', bundle.name, given)} --output OUT"
    if keep_test:
        models = [Path(trained or output_dir) / f"fold_{number}" / "models" / "model.pt" for number in range(folds)]
        settings = {"manifest": output_dir / KEPT, "dataset_dir": dataset_dir, "seed": seed, **overrides}
        settings |= {"overlays": list(overlays), "evaluation": list(evaluation)}
        result["ensemble"] = evaluate_kept(bundle, output_dir / "kept_test", models, evaluating, settings)
        of_ensemble = output_dir / "kept_test" / "ensemble" / "test"
        write_report(
            bundle, of_ensemble, output_dir / KEPT, dataset_dir, weights=models, overlays=overlays, command=command
        )
    with atomic_write(output_dir / "cross_validation.json") as file:
        json.dump(result, file, indent=2)
    write_pooled_report(bundle, output_dir, content, entries, dataset_dir, command)
    return result


def _pool(output_dir: Path, folders: Sequence[Path]) -> dict[str, list] | None:
    """Gather what the evaluations left of pixels and boxes, in the order of the folds; return the boxes."""
    if all((folder / "pixels.npz").is_file() for folder in folders):
        gather([Pixels.load(folder / "pixels.npz") for folder in folders]).keep(output_dir / "pixels.npz")
    if not all((folder / "boxes.json").is_file() for folder in folders):
        return None
    parts = [json.loads((folder / "boxes.json").read_text(encoding="utf-8")) for folder in folders]
    boxes = {name: [item for part in parts for item in part[name]] for name in ("found", "truth")}
    with atomic_write(output_dir / "boxes.json") as file:
        json.dump(boxes, file)
    return boxes


def _check_unseen(parser: ConfigParser, content: dict[str, Any], dataset_dir: os.PathLike | str) -> None:
    """Refuse folds that all start from a model which has learnt from what they test."""
    if "weights" not in parser:
        return
    path = parser.get_parsed_content("weights")
    learnt = learnt_from(read_about(path).get("trained_images"), content, dataset_dir, "test")
    if learnt is not None and learnt["in_manifest"]:
        raise DataError(
            f"{path}: has learnt from {learnt['in_manifest']} images of the manifest, in a sample of "
            f"{learnt['sample']}, so that folds which start from it would be tested on what it knows. Leave the "
            "overlay out that starts from it."
        )


def _draw(
    output_dir: Path, folders: Sequence[Path], dice: pd.Series, images: Sequence[str | list[str]], parser: ConfigParser
) -> None:
    """The best, the median and the worst of all folds, of the masks that the evaluations of the folds left."""
    kept = [folder / "masks.npz" for folder in folders]
    if not all(path.is_file() for path in kept):
        logger.warning("%s: has no pictures, as folds were evaluated by an earlier version", output_dir)
        return
    read = Compose(parser.get_parsed_content("loading"))

    def image(number: int) -> npt.NDArray:
        integers, levels = grey_levels(read({"image": images[number]}, end=1)["image"])  # the first transform reads
        return levels.take(integers)

    draw_chosen(dice, [masks for path in kept for masks in load_masks(path)], image, output_dir)


def _difference(positives: pd.DataFrame, against: Path, images: pd.DataFrame) -> Interval:
    path = against / "images.csv"
    if not path.is_file():
        raise DataError(f"{path}: no such file. Give the output folder of a cross-validation that was done.")
    other = pd.read_csv(path, dtype={"patient": str})
    same = ["fold", "case", "patient"]
    if not other[same].equals(images[same]):
        raise DataError(f"{path}: holds other images or folds. Cross-validate both with one manifest, folds and seed.")
    return mean_interval(positives["dice"] - other.loc[positives.index, "dice"], positives["patient"])
