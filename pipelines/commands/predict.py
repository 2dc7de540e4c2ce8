"""``predict``: masks for a tree of images."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from ..prediction.formats import FORMATS
from .verb import (
    Verb,
    add_bundle,
    add_saying,
    add_unknown_spacing,
    add_weights,
    check_unknown_spacing,
    positive,
    saying,
)


def add_arguments(parser: ArgumentParser) -> None:
    add_bundle(parser)
    add_weights(parser)
    add_unknown_spacing(parser)
    parser.add_argument("--input", required=True, dest="dataset_dir", metavar="DIR", help="files of any kind")
    parser.add_argument("--output", required=True, dest="output_dir", metavar="DIR")
    text = "of the masks; seg: DICOM Segmentation; seg-strict: the same without a plane, of radiographs; rtstruct: "
    text += "DICOM RT Structure Set, of CT"
    parser.add_argument("--format", choices=tuple(FORMATS), help=text)
    parser.add_argument("--fractional", action="store_true", help="with --format seg: keep probabilities")
    text = "divide logits by the temperature that was fitted to the weights, see calibrate; masks at 0.5 stay the same"
    parser.add_argument("--calibrated", action="store_true", help=text)
    parser.add_argument("--report", action="store_true", help="also write boxes as a DICOM Structured Report")
    text = "DICOM outputs keep names of physicians, descriptions and comments of the patient and the study"
    parser.add_argument("--keep-free-text", action="store_true", help=text)
    text = "of the cases in outputs, log and records; hash: a keyed hash, explained in OUTPUT.names.json alone"
    parser.add_argument("--names", choices=("own", "hash"), default="own", help=text)
    text = "also write the challenge's submission (names the files)"
    parser.add_argument("--submission", metavar="CSV", help=text)
    text = "that read and write while the network computes; by default as many as cores"
    parser.add_argument("--workers", type=positive, metavar="THREADS", help=text)
    text = "of images, or of slices of a CT, that the network takes at once"
    parser.add_argument("--batch_size", type=positive, metavar="NUMBER", help=text)
    text = "pixels that the longer side of an overlay, the mask laid over its image, has at most; 1024 if not given"
    parser.add_argument("--overlay_size", type=positive, metavar="PIXELS", help=text)
    parser.add_argument("--no-overlays", action="store_false", dest="pictures", help="write masks alone")
    add_saying(parser)
    parser.add_argument("--retry", action="store_true", help="try cases again in which an earlier run ended")


def run(bundle: str, names: str, quiet: bool, as_json: bool, **settings: Any) -> int:
    from ..bundle import Bundle
    from ..prediction.predict import predict, read_summary

    found = Bundle.find(bundle)
    check_unknown_spacing(found, settings)
    with saying(quiet, as_json) as say:
        code = predict(found, quiet=quiet, hide_names=names == "hash", **settings)
        if as_json:
            say(read_summary(settings["output_dir"]))
    return code


PREDICT = Verb(
    "predict",
    "masks and overlays for a tree of radiographs or CT; goes on where it was stopped",
    add_arguments,
    run,
    epilog="exit code: 0 all done, 1 some failed, 2 nothing done; DIR/summary.json says it all",
    error_code=2,
)
