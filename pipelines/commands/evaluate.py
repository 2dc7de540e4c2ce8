"""``evaluate``: a model on one split, and a page on that. ``report``, ``compare``, ``card``: of what was measured.

``calibrate``: what an evaluation of the validation split tells of how sure the model may be.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .verb import Verb, add_bundle, add_data, add_unknown_spacing, add_weights, check_unknown_spacing

if TYPE_CHECKING:
    from monai.bundle import ConfigParser

    from ..bundle import Bundle


def add_arguments(parser: ArgumentParser) -> None:
    add_bundle(parser)
    add_data(parser)
    add_weights(parser)
    add_unknown_spacing(parser)
    parser.add_argument("--evaluation", nargs="*", default=(), metavar="NAME", help="overlays of the evaluation alone")
    parser.add_argument("--split", choices=("training", "validation", "test"))
    parser.add_argument("--output", dest="output_dir", metavar="DIR")


def run(bundle: str, **settings: Any) -> None:
    """Evaluate, and write the report of that."""
    from ..bundle import Bundle
    from ..provenance import is_of

    found = Bundle.find(bundle, to_change=True)
    check_unknown_spacing(found, settings)
    _evaluate(found, **settings)
    parser = _configuration(found, **settings)
    keys = ("output_dir", "split", "manifest", "dataset_dir", "weights")
    output_dir, split, manifest, dataset_dir, weights = (parser.get_parsed_content(key) for key in keys)
    validation = Path(output_dir) / "validation"
    chosen = found.gives_probabilities and split != "validation"
    known = chosen and is_of(validation, _configuration(found, **settings | {"split": "validation"}))
    _report(
        "evaluate",
        found,
        Path(output_dir) / split,
        manifest,
        dataset_dir,
        split=split,
        validation=validation if known else None,
        weights=weights,
        settings=settings,
    )


def _configuration(
    bundle: Bundle, overlays: Sequence[str] = (), evaluation: Sequence[str] = (), **overrides: Any
) -> ConfigParser:
    from ..bundle import evaluated_with

    return bundle.read(evaluated_with(overlays, evaluation), **overrides)


def _evaluate(bundle: Bundle, overlays: Sequence[str] = (), evaluation: Sequence[str] = (), **overrides: Any) -> None:
    from monai.bundle import run as run_configuration

    from transforms import DataError

    from ..bundle import evaluated_with

    output = Path(overrides.get("output_dir", bundle.root))
    for folder in (output, *output.absolute().parents):
        if (folder / "fold_0.json").is_file():
            raise DataError(
                f"{output}: is part of the cross-validation in {folder}, whose figures would be replaced by those of "
                "other weights or images. Give another --output."
            )
    run_configuration(
        run_id="evaluating",
        config_file=bundle.files(evaluated_with(overlays, evaluation)),
        bundle_root=str(bundle.root),
        overlays=list(overlays),  # no key but these two hold their names, for metrics.json
        evaluation=list(evaluation),
        **overrides,
    )


def _evaluate_once(bundle: Bundle, split: str, folder: Path, **settings: Any) -> None:
    """Evaluate a split into a folder of its name, unless that holds the same evaluation already."""
    from ..provenance import is_of

    settings |= {"split": split, "output_dir": str(folder)}
    if not is_of(folder / split, _configuration(bundle, **settings)):
        _evaluate(bundle, **settings)


def _report(
    verb: str, bundle: Bundle, folder: Path, manifest: str, dataset_dir: str, *, settings: Any, **given: Any
) -> None:
    from ..provenance import shown_command
    from ..reporting.report import write_report

    command = shown_command(verb, bundle.name, {"split": given["split"], **settings})
    overlays = settings.get("overlays", ())
    write_report(bundle, folder, manifest, dataset_dir, overlays=overlays, command=command, **given)


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

    if not {"manifest", "dataset_dir"} <= settings.keys():
        raise DataError("a report needs --manifest and --dataset_dir: give both.")
    found = Bundle.find(bundle, to_change=True)
    check_unknown_spacing(found, settings)
    folder = Path(output_dir) if output_dir else found.root / "eval"
    weights, manifest = Path(settings.setdefault("weights", str(found.weights))), settings["manifest"]
    # thresholds and temperatures are those of bundles of one class, and of a split that is not reported
    chosen = found.gives_probabilities and split != "validation" and bool(read_manifest(manifest)["validation"])
    for name in ("validation", split) if chosen else (split,):
        _evaluate_once(found, name, folder, **settings)
    validation = folder / "validation" if chosen else None
    places = (folder / split, manifest, settings["dataset_dir"])
    _report("report", found, *places, split=split, validation=validation, weights=weights, settings=settings)


def add_calibrate(parser: ArgumentParser) -> None:
    add_bundle(parser)
    add_data(parser)
    add_weights(parser)
    add_unknown_spacing(parser)
    for name, text in (("frontal", "frontal chest radiographs, and"), ("others", "others, to tell them apart (lungs)")):
        parser.add_argument(f"--{name}", nargs="+", default=(), metavar="DIR", help=f"folders of {text}")
    parser.add_argument("--output", dest="output_dir", metavar="DIR", help="of the evaluation; default: the bundle's")


def run_calibrate(
    bundle: str,
    output_dir: str | None = None,
    frontal: Sequence[str] = (),
    others: Sequence[str] = (),
    **settings: Any,
) -> None:
    from transforms import DataError

    from ..bundle import Bundle
    from ..calibration.calibrate import calibrate
    from ..calibration.classifier import fit_frontal
    from ..calibration.quality import FEATURES
    from ..manifests.manifest import images_of, is_counted, left_out, read_manifest
    from ..reporting.measured import Measured
    from ..resuming.sample import sample_of
    from ..resuming.saved_model import add_to_model

    if not {"manifest", "dataset_dir"} <= settings.keys():
        raise DataError("calibrate needs --manifest and --dataset_dir: give both.")
    found = Bundle.find(bundle, to_change=True)
    check_unknown_spacing(found, settings)
    if not found.gives_probabilities:
        raise DataError(f"{found.name}: gives labels, not probabilities, so there is nothing to calibrate.")
    manifest = read_manifest(settings["manifest"])
    if not manifest["validation"]:
        raise DataError(f"{settings['manifest']}: its validation list is empty. Give a manifest that has one.")
    if bool(frontal) != bool(others):
        raise DataError("give folders of both kinds of images, --frontal and --others, or of neither.")
    if frontal and "classifier" not in found.read(["inference"]).get():
        raise DataError(f"{found.name}: has no check of frontal radiographs: leave out --frontal and --others.")
    folder = Path(output_dir or found.root / "eval")
    weights = Path(settings.setdefault("weights", str(found.weights)))
    if not weights.is_file():
        raise DataError(f"{weights}: no such file. Train first, or give the file of another training.")
    sha256 = found.algorithm(weights).weights
    classifier = None
    if frontal:  # first, since it fails where a folder is wrong
        kept = ("overlays", "image_size", "force_weights", "reader#unknown_spacing")
        same = {key: settings[key] for key in kept if key in settings}
        classifier = fit_frontal(found, weights, frontal, others, **same)
    _evaluate_once(found, "validation", folder, **settings)
    measured = Measured.read(folder / "validation")
    assert measured.pixels is not None  # which bundles of one class keep
    if missing := [name for name in FEATURES if name not in measured.cases]:
        (path,) = found.files(["evaluate"])
        raise DataError(
            f"{path}: its evaluation gives no {', '.join(missing)} of masks, which predicted Dice is fitted to. Add "
            '{"_target_": "transforms.MaskFeaturesd", "keys": "pred", "threshold": "@threshold"} to '
            "validate#postprocessing, after the probabilities and before Invertd."
        )
    cases = measured.cases.assign(dice=measured.values["dice"])
    words = f"{manifest['name']}, validation{left_out(measured.left_out)}"
    images = images_of([entry for entry in manifest["validation"] if is_counted(entry)], settings["dataset_dir"])
    threshold = measured.evaluated["threshold"]
    calibrate(weights, sha256, measured.pixels, cases, threshold, words, sample_of(images), measured.bottom)
    if classifier is not None:
        add_to_model(weights, sha256, {"classifier": classifier})


def add_compare(parser: ArgumentParser) -> None:
    parser.add_argument("first", metavar="A", help="the folder of an evaluation's split, or of a cross-validation")
    parser.add_argument("second", metavar="B", help="another model's, of the same cases")
    parser.add_argument("--metric", default="dice", help="a column of images.csv")
    parser.add_argument("--figure", metavar="PNG", help="each case as a point")


def run_compare(first: str, second: str, metric: str, figure: str | None = None) -> None:
    from ..figures import save_figure
    from ..reporting.comparison import compare, draw_comparison, read_images

    tables = read_images(first), read_images(second)
    print(compare(*tables, metric))
    if figure is not None:
        save_figure(draw_comparison(*tables, (first, second), metric), figure)


def add_card(parser: ArgumentParser) -> None:
    add_bundle(parser)
    text = "the folder of a report, of an evaluation's split or of a cross-validation: a column of the table each"
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help=text)
    text = "two such folders, as compare takes them: what was tried in the place of A; may be repeated"
    parser.add_argument("--tried", nargs=2, action="append", default=[], metavar=("A", "B"), help=text)


def run_card(bundle: str, folders: Sequence[str], tried: Sequence[tuple[str, str]]) -> None:
    from ..bundle import Bundle
    from ..documents.card import Tried, fill_card
    from ..reporting.comparison import compare_folders

    compared = [Tried(Path(first), Path(second), compare_folders(first, second)) for first, second in tried]
    fill_card(Bundle.find(bundle, to_change=True), folders, compared)


EVALUATE = Verb("evaluate", "measure a bundle's model on one split of a manifest", add_arguments, run)
CALIBRATE = Verb(
    "calibrate", "fit how sure a model may be on the validation split, into model.json", add_calibrate, run_calibrate
)
REPORT = Verb("report", "one page on a bundle's model, of its evaluation", add_report, run_report)
COMPARE = Verb("compare", "two models on the same cases: the difference and how sure it is", add_compare, run_compare)
CARD = Verb("card", "fill in the figures of a bundle's model card, from reports", add_card, run_card)
