"""``predict``: masks for a tree of images, or for series of an archive. ``listen``: for what is sent."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..arguments import port, positive
from ..prediction.formats import FORMATS
from .verb import (
    Verb,
    add_bundle,
    add_saying,
    add_unknown_spacing,
    add_weights,
    check_unknown_spacing,
    saying,
)

if TYPE_CHECKING:
    from ..bundle import Bundle


def add_arguments(parser: ArgumentParser) -> None:
    add_bundle(parser)
    add_weights(parser)
    add_unknown_spacing(parser)
    text = (
        "files of any kind; or a DICOMweb service, whose login is in RADBUNDLES_INPUT_USER and _PASSWORD, or _TOKEN, "
    )
    text += "or ~/.netrc"
    parser.add_argument("--input", required=True, dest="dataset_dir", metavar="DIR_OR_URL", help=text)
    text = "which series of the service, such as StudyDate=20260101-20260131 PatientID=4711"
    parser.add_argument("--query", nargs="+", type=attribute, metavar="KEY=VALUE", help=text)
    text = "DICOMweb service that takes the results; its login is in RADBUNDLES_STORE_USER and so on"
    parser.add_argument("--store", metavar="URL", help=text)
    parser.add_argument("--output", required=True, dest="output_dir", metavar="DIR")
    text = "of the masks; seg: DICOM Segmentation; seg-strict: the same without a plane, of radiographs; rtstruct: "
    text += "DICOM RT Structure Set, of CT"
    parser.add_argument("--format", choices=tuple(FORMATS), help=text)
    parser.add_argument("--fractional", action="store_true", help="with --format seg: keep probabilities")
    text = "divide logits by the temperature that was fitted to the weights, see calibrate; masks at 0.5 stay the same"
    parser.add_argument("--calibrated", action="store_true", help=text)
    text = "output folder of crossvalidate: the mean of its models' probabilities, in place of one model's"
    parser.add_argument("--ensemble", metavar="DIR", help=text)
    parser.add_argument("--report", action="store_true", help="also write boxes as a DICOM Structured Report")
    text = "DICOM outputs keep names of physicians, descriptions and comments of the patient and the study"
    parser.add_argument("--keep-free-text", action="store_true", help=text)
    text = "of the cases in outputs, log and records; hash: a keyed hash, explained in OUTPUT.names.json alone"
    parser.add_argument("--names", choices=("own", "hash"), default="own", help=text)
    text = "also write the challenge's submission (names the files)"
    parser.add_argument("--submission", metavar="CSV", help=text)
    text = "that read and write while the network computes; by default as many as cores. With Ray: cores of each worker"
    parser.add_argument("--workers", type=positive, metavar="THREADS", help=text)
    text = "of images, or of slices of a CT, that the network takes at once"
    parser.add_argument("--batch_size", type=positive, metavar="NUMBER", help=text)
    text = "pixels that the longer side of an overlay, the mask laid over its image, has at most; 1024 if not given"
    parser.add_argument("--overlay_size", type=positive, metavar="PIXELS", help=text)
    parser.add_argument("--no-overlays", action="store_false", dest="pictures", help="write masks alone")
    text = "what does the images: this process, or workers of Ray, of this machine or of a cluster"
    parser.add_argument("--engine", choices=("local", "ray"), help=text)
    parser.add_argument("--address", help="with --engine ray: of a cluster, such as HOST:6379, or auto where it runs")
    add_saying(parser)
    text = "try cases again in which an earlier run ended, and series of an archive that one left out"
    parser.add_argument("--retry", action="store_true", help=text)


def attribute(text: str) -> tuple[str, str]:
    """KEY=VALUE, as a type of arguments."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ArgumentTypeError(f"{key!r} is not KEY=VALUE")
    return key, value


def run(bundle: str, names: str, quiet: bool, as_json: bool, **settings: Any) -> int:
    from ..bundle import Bundle
    from ..prediction.predict import read_summary

    found = Bundle.find(bundle)
    check_unknown_spacing(found, settings)
    predict = _from_archive if settings["dataset_dir"].lower().startswith(("http://", "https://")) else _from_folder
    with saying(quiet, as_json) as say:
        code = predict(found, quiet=quiet, hide_names=names == "hash", **settings)
        if as_json:
            say(read_summary(settings["output_dir"]))
    return code


def _from_folder(bundle: Bundle, **settings: Any) -> int:
    from transforms import DataError

    from ..prediction.predict import predict

    for name in ("query", "store"):
        if name in settings:
            raise DataError(f"--{name} is for series of an archive: give its URL with --input, or leave it out.")
    return predict(bundle, **settings)


def _from_archive(bundle: Bundle, dataset_dir: str, query: Sequence[tuple[str, str]] = (), **settings: Any) -> int:
    from transforms import DataError

    from ..archive.predict import predict_archive

    for name in ("engine", "address"):
        if name in settings:
            raise DataError(f"--{name} is for folders of images, and the images are in an archive: leave it out.")
    if not query:
        raise DataError("--query: an archive may hold very much. Say which series, as StudyDate=20260101-20260131.")
    return predict_archive(bundle, url=dataset_dir, query=dict(query), **settings)


PREDICT = Verb(
    "predict",
    "masks and overlays for a tree of radiographs or CT; goes on where it was stopped",
    add_arguments,
    run,
    epilog="exit code: 0 all done, 1 some failed, 2 nothing done; DIR/summary.json says it all",
    error_code=2,
)


def add_listen(parser: ArgumentParser) -> None:
    add_bundle(parser)
    add_weights(parser)
    add_unknown_spacing(parser)
    parser.add_argument("--spool", required=True, metavar="DIR", help="of images and answers that wait")
    text = "who gets the answers, such as PACS@127.0.0.1:4242"
    parser.add_argument("--store", required=True, metavar="TITLE@HOST:PORT", help=text)
    parser.add_argument("--port", type=port, help="to listen at; 11112 if not given")
    parser.add_argument("--host", metavar="ADDRESS", help="to listen at; this machine alone if not given")
    parser.add_argument("--title", help="of its own application entity; RADBUNDLES if not given")
    text = "that a sender may have; may be repeated; any if not given, for this machine alone"
    parser.add_argument("--allow", action="append", dest="allowed", metavar="TITLE", help=text)
    text = "without another image, after which a series is complete; 10 if not given"
    parser.add_argument("--settle", type=positive, metavar="SECONDS", help=text)
    text = "images that may wait; more are refused, and their sender keeps them; 10000 if not given"
    parser.add_argument("--limit", type=positive, metavar="NUMBER", help=text)
    parser.add_argument("--format", choices=tuple(name for name, one in FORMATS.items() if one.needs_dicom))
    parser.add_argument("--report", action="store_true", help="also send boxes as a DICOM Structured Report")


def run_listen(bundle: str, **settings: Any) -> None:
    from ..archive.listen import listen
    from ..bundle import Bundle

    found = Bundle.find(bundle)
    check_unknown_spacing(found, settings)
    listen(found, **settings)


LISTEN = Verb("listen", "segment what is sent by DICOM C-STORE, and send on what was found", add_listen, run_listen)
