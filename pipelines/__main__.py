"""The commands, for those who write no JSON: ``python -m pipelines --help``, or ``radbundles --help``."""

from __future__ import annotations

import argparse
import logging
import sys

from .commands import crossvalidate, evaluate, export, label, manifest, package, phantoms, predict, timing

VERBS = (
    package.INIT,
    manifest.MANIFEST,
    phantoms.PHANTOMS,
    phantoms.CT_PHANTOMS,
    manifest.AUDIT,
    evaluate.EVALUATE,
    evaluate.CALIBRATE,
    evaluate.REPORT,
    evaluate.COMPARE,
    evaluate.CARD,
    predict.PREDICT,
    predict.LISTEN,
    crossvalidate.CROSSVALIDATE,
    timing.BENCHMARK,
    export.EXPORT,
    timing.LATENCY,
    package.PACKAGE,
    label.LABEL,
    package.VERIFY,
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        the exit code: 0 done, 1 wrong data, 2 wrong usage, 130 interrupted; of predict: see its ``Prediction.run``.
    """
    options = vars(_parser().parse_args(arguments))
    verb = options.pop("verb")
    from transforms import plain_error, prepare_console  # which loads torch and MONAI: help does not wait for them

    prepare_console()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        return verb.run(**{name: value for name, value in options.items() if value is not None}) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        plain = plain_error(error)
        if plain is None:
            raise
        print(f"error: {plain}", file=sys.stderr)
        return verb.error_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines", description="Commands of radbundles.")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    for verb in VERBS:
        own = verbs.add_parser(verb.name, help=verb.help, epilog=verb.epilog)
        verb.add_arguments(own)
        own.set_defaults(verb=verb)
    return parser


if __name__ == "__main__":
    sys.exit(main())
