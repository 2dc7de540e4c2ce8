"""The commands, for those who write no JSON: ``python -m pipelines --help``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Any

from monai.bundle import run

from transforms import DataError, plain_error, prepare_console

from .benchmark import benchmark
from .bundle import Bundle
from .cross_validation import cross_validate
from .ct_phantoms import draw_ct_phantoms
from .export import export
from .formats import FORMATS
from .kinds import add_kinds
from .label import start_server
from .latency import latency
from .package import package
from .phantoms import draw_phantoms
from .prediction import NOTHING_DONE, predict
from .verify_package import verify


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 done, 1 wrong data, 2 wrong usage; of predict: see prediction.py."""
    prepare_console()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    options = {key: value for key, value in vars(_parser().parse_args(arguments)).items() if value is not None}
    command = options.pop("command")
    try:
        code = command(**options)
    except Exception as error:
        plain = plain_error(error)
        if plain is None:
            raise
        print(f"error: {plain}", file=sys.stderr)
        return NOTHING_DONE if command is _predict else 1
    return code if command is _predict else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines", description="Commands of radbundles.")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    manifest = verbs.add_parser("manifest", help="make a manifest from a data set's folder")
    add_kinds(manifest)

    phantoms = verbs.add_parser("phantoms", help="draw phantom radiographs, with boxes or masks")
    phantoms.add_argument("folder", metavar="DIR")
    phantoms.add_argument("--patients", type=int, default=120)
    phantoms.add_argument("--size", type=int, default=512, help="rows and columns, in pixels")
    phantoms.add_argument("--seed", type=int, default=0)
    phantoms.add_argument("--truth", choices=("boxes", "lungs", "opacity"), default="boxes")
    phantoms.set_defaults(command=draw_phantoms)

    ct_phantoms = verbs.add_parser(
        "ct_phantoms", help="draw phantom CT in the layout of the abdominal trauma challenge"
    )
    ct_phantoms.add_argument("folder", metavar="DIR")
    ct_phantoms.add_argument("--patients", type=int, default=16)
    ct_phantoms.add_argument("--size", type=int, default=128, help="rows and columns of a slice, in pixels")
    ct_phantoms.add_argument("--seed", type=int, default=0)
    ct_phantoms.set_defaults(command=draw_ct_phantoms)

    bundle, data, chosen = (argparse.ArgumentParser(add_help=False) for _ in range(3))  # what several verbs take
    bundle.add_argument("bundle", metavar="BUNDLE", help="a bundle's name or folder")
    data.add_argument("--manifest", metavar="FILE")
    data.add_argument("--dataset_dir", metavar="DIR", help="what the manifest's paths are relative to")
    chosen.add_argument("--weights", metavar="FILE")
    chosen.add_argument("--overlays", nargs="*", default=(), metavar="NAME", help="of the bundle, such as classic")
    chosen.add_argument("--image_size", type=int, help="that the weights were trained with")
    running = argparse.ArgumentParser(add_help=False, parents=[chosen])
    running.add_argument("--unknown_spacing", dest="reader#unknown_spacing", choices=("refuse", "pixels"))

    text = "measure a bundle's model on one split of a manifest"
    evaluate = verbs.add_parser("evaluate", parents=[bundle, data, running], help=text)
    evaluate.add_argument("--split", choices=("training", "validation", "test"))
    evaluate.add_argument("--output", dest="output_dir", metavar="DIR")
    evaluate.set_defaults(command=_evaluate)

    text = "masks and overlays for a tree of radiographs or CT; goes on where it was stopped"
    codes = "exit code: 0 all done, 1 some failed, 2 nothing done; DIR/summary.json says it all"
    predicting = verbs.add_parser("predict", parents=[bundle, running], help=text, epilog=codes)
    predicting.add_argument("--input", required=True, dest="dataset_dir", metavar="DIR", help="files of any kind")
    predicting.add_argument("--output", required=True, dest="output_dir", metavar="DIR")
    predicting.add_argument(
        "--format",
        choices=tuple(FORMATS),
        help="of the masks; seg: DICOM Segmentation; rtstruct: DICOM RT Structure Set, of CT",
    )
    predicting.add_argument("--fractional", action="store_true", help="with --format seg: keep probabilities")
    predicting.add_argument("--report", action="store_true", help="also write boxes as a DICOM Structured Report")
    text = "also write the challenge's submission (names the files)"
    predicting.add_argument("--submission", metavar="CSV", help=text)
    predicting.set_defaults(command=_predict)

    text = "train and evaluate on folds: each image is predicted by a model that has not seen its patient"
    crossed = verbs.add_parser("crossvalidate", parents=[bundle], help=text)
    crossed.add_argument("--manifest", required=True, metavar="FILE", help="whose images are divided into folds")
    crossed.add_argument("--dataset_dir", required=True, metavar="DIR")
    crossed.add_argument("--output", required=True, dest="output_dir", metavar="DIR")
    crossed.add_argument("--folds", type=int, default=5)
    crossed.add_argument("--seed", type=int, default=0)
    crossed.add_argument("--epochs", type=int)
    crossed.add_argument("--overlays", nargs="*", default=(), metavar="NAME", help="of the bundle, such as usual_way")
    crossed.add_argument("--evaluation", nargs="*", default=(), metavar="NAME", help="overlays of the evaluation alone")
    crossed.add_argument("--trained", metavar="DIR", help="evaluate the models of another cross-validation's output")
    crossed.add_argument("--against", metavar="DIR", help="the output of another cross-validation, to compare with")
    crossed.set_defaults(command=_cross_validate)

    text = "images per second of training, beside the usual way, as ratios"
    speed = verbs.add_parser("benchmark", parents=[bundle, data], help=text)
    speed.set_defaults(command=_benchmark)

    text = "a bundle's network as ONNX or torch.export, checked against torch"
    exporting = verbs.add_parser("export", parents=[bundle, chosen], help=text)
    exporting.add_argument("--out", required=True, metavar="FILE", help="the .onnx or .pt2 file to write")
    exporting.set_defaults(command=_export)

    text = "milliseconds an image of a bundle's network: eager, compiled, exported, ONNX Runtime, from one run"
    delay = verbs.add_parser("latency", parents=[bundle], help=text)
    delay.set_defaults(command=_latency)

    text = "a bundle in one file that runs without this project"
    packaging = verbs.add_parser("package", parents=[bundle], help=text)
    packaging.add_argument("--out", required=True, metavar="FILE", help="the zip file to write")
    packaging.set_defaults(command=_package)

    text = "start MONAI Label with bundles in it, for this machine alone"
    labelling = verbs.add_parser("label", help=text)
    labelling.add_argument("bundles", nargs="+", metavar="BUNDLE", help="a bundle's name or folder")
    labelling.add_argument("--studies", required=True, metavar="DIR_OR_URL", help="of images, or of a DICOMweb service")
    labelling.add_argument("--app", default="monailabel_app", metavar="DIR", help="of the application, made if missing")
    labelling.add_argument("--port", type=int)
    labelling.set_defaults(command=_label)

    text = "check a packaged bundle without unpacking it, and list what of it is code, without running any"
    verifying = verbs.add_parser("verify", help=text)
    verifying.add_argument("file", metavar="FILE")
    verifying.set_defaults(command=verify)
    return parser


def _evaluate(bundle: str, overlays: Sequence[str], **overrides: Any) -> None:
    found = Bundle.find(bundle)
    _check_spacing(found, overrides)
    files = found.files(["train", *overlays, "evaluate"])
    run(run_id="evaluating", config_file=files, bundle_root=str(found.root), **overrides)


def _predict(bundle: str, **settings: Any) -> int:
    found = Bundle.find(bundle)
    _check_spacing(found, settings)
    return predict(found, **settings)


def _check_spacing(bundle: Bundle, settings: dict[str, Any]) -> None:
    if "reader#unknown_spacing" in settings and bundle.is_volumetric:
        raise DataError(f"{bundle.name}: has no --unknown_spacing, which is for radiographs. Leave it out.")


def _benchmark(bundle: str, **overrides: Any) -> None:
    benchmark(Bundle.find(bundle), **overrides)


def _package(bundle: str, out: str) -> None:
    package(Bundle.find(bundle), out)


def _label(bundles: Sequence[str], **settings: Any) -> None:
    start_server([Bundle.find(bundle) for bundle in bundles], **settings)


def _export(bundle: str, **settings: Any) -> None:
    export(Bundle.find(bundle), **settings)


def _latency(bundle: str) -> None:
    latency(Bundle.find(bundle))


def _cross_validate(bundle: str, **settings: Any) -> None:
    cross_validate(Bundle.find(bundle), **settings)


if __name__ == "__main__":
    sys.exit(main())
