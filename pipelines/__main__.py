"""The commands, for those who write no JSON: ``python -m pipelines --help``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from monai.bundle import run

from transforms import DataError, plain_error, prepare_console

from .benchmark import benchmark
from .phantoms import draw_phantoms
from .rsna import build_rsna_manifest


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 done, 1 wrong data, 2 wrong usage."""
    prepare_console()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    options = {key: value for key, value in vars(_parser().parse_args(arguments)).items() if value is not None}
    command = options.pop("command")
    try:
        command(**options)
    except Exception as error:
        plain = plain_error(error)
        if plain is None:
            raise
        print(f"error: {plain}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines", description="Commands of radbundles.")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    manifest = verbs.add_parser("manifest", help="make a manifest from a data set's folder")
    kinds = manifest.add_subparsers(required=True, metavar="KIND")
    rsna = kinds.add_parser("rsna", help="the RSNA Pneumonia Detection Challenge, or data in its layout")
    rsna.add_argument("folder", metavar="DIR", help="holds stage_2_train_images/ and both CSV files")
    rsna.add_argument("--out", required=True, metavar="FILE", help="the manifest to write")
    rsna.add_argument("--name", default="rsna")
    rsna.add_argument("--seed", type=int, default=0, help="of the split")
    rsna.add_argument(
        "--fractions", type=float, nargs=3, default=(0.7, 0.15, 0.15), metavar=("TRAINING", "VALIDATION", "TEST")
    )
    rsna.add_argument("--persons", metavar="CSV", help="patientId,nih_image: the person behind each image")
    rsna.add_argument("--checksums", action="store_true", help="note each file's SHA-256")
    rsna.add_argument("--unknown_spacing", choices=("refuse", "pixels"), default="refuse")
    rsna.set_defaults(command=build_rsna_manifest)

    phantoms = verbs.add_parser("phantoms", help="draw phantom radiographs in the challenge's layout")
    phantoms.add_argument("folder", metavar="DIR")
    phantoms.add_argument("--patients", type=int, default=120)
    phantoms.add_argument("--size", type=int, default=512, help="rows and columns, in pixels")
    phantoms.add_argument("--seed", type=int, default=0)
    phantoms.set_defaults(command=draw_phantoms)

    bundle, data, running = (argparse.ArgumentParser(add_help=False) for _ in range(3))  # what several verbs take
    bundle.add_argument("bundle", metavar="BUNDLE", help="a bundle's name or folder")
    data.add_argument("--manifest", metavar="FILE")
    data.add_argument("--dataset_dir", metavar="DIR", help="what the manifest's paths are relative to")
    running.add_argument("--weights", metavar="FILE")
    running.add_argument("--unknown_spacing", dest="reader#unknown_spacing", choices=("refuse", "pixels"))

    text = "measure a bundle's model on one split of a manifest"
    evaluate = verbs.add_parser("evaluate", parents=[bundle, data, running], help=text)
    evaluate.add_argument("--split", choices=("training", "validation", "test"))
    evaluate.add_argument("--output", dest="output_dir", metavar="DIR")
    evaluate.set_defaults(command=_evaluate)

    text = "masks and overlays for a folder of DICOM radiographs"
    predict = verbs.add_parser("predict", parents=[bundle, running], help=text)
    predict.add_argument("--input", required=True, dest="dataset_dir", metavar="DIR")
    predict.add_argument("--output", required=True, dest="output_dir", metavar="DIR")
    predict.add_argument("--submission", metavar="CSV", help="also write the challenge's submission (names the files)")
    predict.set_defaults(command=_predict)

    text = "images per second of training, beside the usual way, as ratios"
    speed = verbs.add_parser("benchmark", parents=[bundle, data], help=text)
    speed.set_defaults(command=_benchmark)
    return parser


def _evaluate(bundle: str, **overrides: Any) -> None:
    _run(bundle, ["train.json", "evaluate.json"], "evaluating", overrides)


def _predict(bundle: str, output_dir: str, submission: str | None = None, **overrides: Any) -> None:
    files = ["inference.json"]
    if submission:
        files.append("submission.json")
        overrides["submission"] = submission
    _run(bundle, files, "run", {"output_dir": output_dir, **overrides})


def _benchmark(bundle: str, **overrides: Any) -> None:
    benchmark(_find_bundle(bundle), **overrides)


def _run(bundle: str, files: list[str], run_id: str, overrides: dict[str, Any]) -> None:
    root = _find_bundle(bundle)
    run(run_id=run_id, config_file=[str(root / "configs" / name) for name in files], bundle_root=str(root), **overrides)


def _find_bundle(bundle: str) -> Path:
    for root in (Path(bundle), Path("bundles") / bundle):
        if (root / "configs" / "metadata.json").is_file():
            return root
    raise DataError(f"{bundle}: no such bundle, neither a bundle's folder nor a name below bundles/.")


if __name__ == "__main__":
    sys.exit(main())
