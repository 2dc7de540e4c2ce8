"""``evaluate``: a bundle's model on one split. ``report``: a page on that. ``compare``: with another model.

``calibrate``: what an evaluation of the validation split tells of how sure the model may be.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .verb import Verb, add_bundle, add_data, add_unknown_spacing, add_weights, check_unknown_spacing


def add_arguments(parser: ArgumentParser) -> None:
    add_bundle(parser)
    add_data(parser)
    add_weights(parser)
    add_unknown_spacing(parser)
    parser.add_argument("--evaluation", nargs="*", default=(), metavar="NAME", help="overlays of the evaluation alone")
    parser.add_argument("--split", choices=("training", "validation", "test"))
    parser.add_argument("--output", dest="output_dir", metavar="DIR")


def run(bundle: str, overlays: Sequence[str], evaluation: Sequence[str], **overrides: Any) -> None:
    from monai.bundle import run as run_configuration

    from ..bundle import Bundle

    found = Bundle.find(bundle, to_change=True)
    check_unknown_spacing(found, overrides)
    files = found.files(["train", *overlays, "evaluate", *evaluation])
    run_configuration(run_id="evaluating", config_file=files, bundle_root=str(found.root), **overrides)


def add_report(parser: ArgumentParser) -> None:
    add_bundle(parser)
    add_data(parser)
    add_weights(parser)
    add_unknown_spacing(parser)
    parser.add_argument("--split", choices=("training", "validation", "test"), default="test")
    parser.add_argument("--output", dest="output_dir", metavar="DIR", help="of the evaluation; default: the bundle's")


def run_report(bundle: str, split: str, output_dir: str | None = None, **settings: Any) -> None:
    from transforms import DataError

    from ..bundle import Bundle
    from ..manifests.manifest import read_manifest
    from ..reporting.report import write_report

    if not {"manifest", "dataset_dir"} <= settings.keys():
        raise DataError("a report needs --manifest and --dataset_dir: give both.")
    found = Bundle.find(bundle, to_change=True)
    folder = Path(output_dir) if output_dir else found.root / "eval"
    weights, manifest = Path(settings.get("weights", found.weights)), Path(settings["manifest"])
    # thresholds and temperatures are those of bundles of one class, and of a split that is not reported
    chosen = found.gives_probabilities and split != "validation" and bool(read_manifest(manifest)["validation"])
    for name in ("validation", split) if chosen else (split,):
        _evaluate(bundle, name, folder, weights, **settings)
    validation = folder / "validation" if chosen else None
    write_report(found, folder / split, manifest, settings["dataset_dir"], split, validation, weights)


def _evaluate(bundle: str, split: str, folder: Path, weights: Path, **settings: Any) -> None:
    """Evaluate a split, unless that was done since the weights and the manifest are there."""
    done, manifest = folder / split / "metrics.json", Path(settings["manifest"])
    made_of = [path for path in (weights, manifest) if path.exists()]
    if not done.is_file() or done.stat().st_mtime < max(path.stat().st_mtime for path in made_of):
        run(bundle, split=split, output_dir=str(folder), evaluation=(), **settings)


def add_calibrate(parser: ArgumentParser) -> None:
    add_bundle(parser)
    add_data(parser)
    add_weights(parser)
    add_unknown_spacing(parser)
    parser.add_argument("--output", dest="output_dir", metavar="DIR", help="of the evaluation; default: the bundle's")


def run_calibrate(bundle: str, output_dir: str | None = None, **settings: Any) -> None:
    from transforms import DataError

    from ..bundle import Bundle
    from ..calibration.calibrate import calibrate
    from ..manifests.manifest import read_manifest
    from ..reporting.measured import Measured

    if not {"manifest", "dataset_dir"} <= settings.keys():
        raise DataError("calibrate needs --manifest and --dataset_dir: give both.")
    found = Bundle.find(bundle, to_change=True)
    if not found.gives_probabilities:
        raise DataError(f"{found.name}: gives labels, not probabilities, so there is nothing to calibrate.")
    manifest = read_manifest(settings["manifest"])
    if not manifest["validation"]:
        raise DataError(f"{settings['manifest']}: its validation list is empty. Give a manifest that has one.")
    folder, weights = Path(output_dir or found.root / "eval"), Path(settings.get("weights", found.weights))
    if not weights.is_file():
        raise DataError(f"{weights}: no such file. Train first, or give the file of another training.")
    sha256 = found.algorithm(weights).weights
    _evaluate(bundle, "validation", folder, weights, **settings)
    measured = Measured.read(folder / "validation")
    assert measured.pixels is not None  # which bundles of one class keep
    cases = measured.cases.assign(dice=measured.values["dice"])
    threshold = found.read(["train", "evaluate"]).get("threshold")
    calibrate(weights, sha256, measured.pixels, cases, threshold, f"{manifest['name']}, validation")


def add_compare(parser: ArgumentParser) -> None:
    parser.add_argument("first", metavar="A", help="the folder of an evaluation's split, or of a cross-validation")
    parser.add_argument("second", metavar="B", help="another model's, of the same cases")
    parser.add_argument("--metric", default="dice", help="a column of images.csv")
    parser.add_argument("--figure", metavar="PNG", help="each case as a point")


def run_compare(first: str, second: str, metric: str, figure: str | None = None) -> None:
    from ..figures import save_figure
    from ..reporting.comparison import compare, draw_comparison, read_cases

    tables = read_cases(first), read_cases(second)
    print(compare(*tables, metric))
    if figure is not None:
        save_figure(draw_comparison(*tables, (first, second), metric), figure)


EVALUATE = Verb("evaluate", "measure a bundle's model on one split of a manifest", add_arguments, run)
CALIBRATE = Verb(
    "calibrate", "fit how sure a model may be on the validation split, into model.json", add_calibrate, run_calibrate
)
REPORT = Verb("report", "one page on a bundle's model, of its evaluation", add_report, run_report)
COMPARE = Verb("compare", "two models on the same cases: the difference and how sure it is", add_compare, run_compare)
