"""``crossvalidate``: a bundle, trained and evaluated on folds."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..arguments import positive, seed
from .verb import Verb, add_bundle, add_unknown_spacing, check_unknown_spacing

if TYPE_CHECKING:
    from ..bundle import Bundle


def add_arguments(parser: ArgumentParser) -> None:
    add_bundle(parser)
    parser.add_argument("--manifest", required=True, metavar="FILE", help="whose images are divided into folds")
    parser.add_argument("--dataset_dir", required=True, metavar="DIR")
    add_unknown_spacing(parser)
    parser.add_argument("--output", required=True, dest="output_dir", metavar="DIR")
    parser.add_argument("--folds", type=positive, default=5)
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--epochs", type=positive)
    parser.add_argument("--overlays", nargs="*", default=(), metavar="NAME", help="of the bundle, such as usual_way")
    parser.add_argument("--evaluation", nargs="*", default=(), metavar="NAME", help="overlays of the evaluation alone")
    text = "another value of a key of the configuration, such as loss#batch True; may be repeated"
    parser.add_argument("--override", nargs=2, action="append", metavar=("KEY", "VALUE"), help=text)
    text = "leave the manifest's test split out of the folds, and evaluate their ensemble on it"
    parser.add_argument("--keep_test", action="store_true", default=None, help=text)
    parser.add_argument("--trained", metavar="DIR", help="evaluate the models of another cross-validation's output")
    parser.add_argument("--against", metavar="DIR", help="the output of another cross-validation, to compare with")


def run(bundle: str, override: Sequence[tuple[str, str]] = (), **settings: Any) -> None:
    from ..bundle import Bundle
    from ..crossvalidation.cross_validation import cross_validate

    found = Bundle.find(bundle, to_change=True)
    check_unknown_spacing(found, settings)
    overrides = _overrides(found, override, settings) if override else {}
    cross_validate(found, **settings, **overrides)


def _overrides(bundle: Bundle, given: Sequence[tuple[str, str]], settings: dict[str, Any]) -> dict[str, Any]:
    """Keys and values, which are read as those of MONAI's command are.

    Raises:
        DataError: if a key is one that the command sets, or the configuration has no such place.
    """
    from fire.parser import DefaultParseValue

    from transforms import DataError

    from ..bundle import evaluated_with

    own = {*settings, "epochs", "reader#unknown_spacing", "bundle_root", "ckpt_dir", "split", "weights", "resume"}
    own |= {"keep_test", "trained", "against"}
    parser = bundle.read(evaluated_with(settings["overlays"], settings["evaluation"]))
    for key, _ in given:
        if key in own:
            raise DataError(f"--override {key}: is set by the command. Use its own option, or leave it out.")
        place, _, _ = key.rpartition("#")
        if (place or key) not in parser:
            raise DataError(f"--override {key}: the configuration has no {place or key}. Give a key of train.json.")
    return {key: DefaultParseValue(value) for key, value in given}


CROSSVALIDATE = Verb(
    "crossvalidate",
    "train and evaluate on folds: each image is predicted by a model that has not seen its patient",
    add_arguments,
    run,
)
