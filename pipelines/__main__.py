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
    options = vars(_parser().parse_args(arguments))
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

    evaluate = verbs.add_parser("evaluate", help="measure a bundle's model on one split of a manifest")
    evaluate.add_argument("bundle", metavar="BUNDLE", help="a bundle's name or folder")
    evaluate.add_argument("--manifest", metavar="FILE")
    evaluate.add_argument("--dataset_dir", metavar="DIR", help="what the manifest's paths are relative to")
    evaluate.add_argument("--split", choices=("training", "validation", "test"))
    evaluate.add_argument("--weights", metavar="FILE")
    evaluate.add_argument("--output", dest="output_dir", metavar="DIR")
    evaluate.add_argument("--unknown_spacing", dest="reader#unknown_spacing", choices=("refuse", "pixels"))
    evaluate.set_defaults(command=_evaluate)

    predict = verbs.add_parser("predict", help="masks and overlays for a folder of DICOM radiographs")
    predict.add_argument("bundle", metavar="BUNDLE", help="a bundle's name or folder")
    predict.add_argument("--input", required=True, dest="dataset_dir", metavar="DIR")
    predict.add_argument("--output", required=True, dest="output_dir", metavar="DIR")
    predict.add_argument("--weights", metavar="FILE")
    predict.add_argument("--submission", metavar="CSV", help="also write the challenge's submission (names the files)")
    predict.add_argument("--unknown_spacing", dest="reader#unknown_spacing", choices=("refuse", "pixels"))
    predict.set_defaults(command=_predict)

    speed = verbs.add_parser("benchmark", help="images per second of training, beside the usual way, as ratios")
    speed.add_argument("bundle", metavar="BUNDLE", help="a bundle's name or folder")
    speed.add_argument("--manifest", metavar="FILE")
    speed.add_argument("--dataset_dir", metavar="DIR", help="what the manifest's paths are relative to")
    speed.set_defaults(command=_benchmark)
    return parser


def _evaluate(bundle: str, **overrides: Any) -> None:
    _run(bundle, ["train.json", "evaluate.json"], "evaluating", overrides)


def _predict(bundle: str, output_dir: str, submission: str | None, **overrides: Any) -> None:
    files = ["inference.json"]
    if submission:
        files.append("submission.json")
        overrides["submission"] = submission
    _run(bundle, files, "run", {"output_dir": output_dir, **overrides})


def _benchmark(bundle: str, **overrides: Any) -> None:
    benchmark(_find_bundle(bundle), **{key: value for key, value in overrides.items() if value is not None})


def _run(bundle: str, files: list[str], run_id: str, overrides: dict[str, Any]) -> None:
    root = _find_bundle(bundle)
    given = {key: value for key, value in overrides.items() if value is not None}
    run(run_id=run_id, config_file=[str(root / "configs" / name) for name in files], bundle_root=str(root), **given)


def _find_bundle(bundle: str) -> Path:
    for root in (Path(bundle), Path("bundles") / bundle):
        if (root / "configs" / "metadata.json").is_file():
            return root
    raise DataError(f"{bundle}: no such bundle, neither a bundle's folder nor a name below bundles/.")


if __name__ == "__main__":
    sys.exit(main())
