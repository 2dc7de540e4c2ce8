"""``python -m tests.stress``: kill, damage and tamper at random, and print a table of what came of it."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .kills import kill_predictions, kill_trainings
from .mutants import read_mutants
from .packages import verify_packages
from .predictions import predict_mutants
from .report import Report
from .weights import load_mutants


def run(kills: int, mutants: int, packages: int, seed: int) -> Report:
    """Half of the kills go to trainings. One in 20 mutants is weights, and one in 20 goes through ``predict`` too.

    What is to be done 0 times is left out.
    """
    report = Report({"kills": kills, "mutants": mutants, "packages": packages, "seed": seed})
    with tempfile.TemporaryDirectory() as scratch:
        parts: dict[str, tuple[Callable[..., Any], int]] = {
            "trainings": (kill_trainings, kills - kills // 2),
            "kill_predictions": (kill_predictions, kills // 2),
            "mutants": (read_mutants, mutants - mutants // 20),
            "weights": (load_mutants, mutants // 20),
            "predictions": (predict_mutants, mutants // 20),
            "packages": (verify_packages, packages),
        }
        for name, (part, number) in parts.items():
            if not number:
                continue
            began = time.monotonic()
            (folder := Path(scratch, name)).mkdir()
            setattr(report, name, part(number, seed, folder))
            print(f"{name}: {number} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            for fault in getattr(report, name).faults:
                print(f"  {fault}", file=sys.stderr, flush=True)
    return report


def main() -> int:
    """Parse the command line. The exit code is 1 if anything got through."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of trainings and predictions (20)")
    parser.add_argument("--mutants", type=int, default=640, help="damaged files (640)")
    parser.add_argument("--packages", type=int, default=48, help="hostile packages (48)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", metavar="FILE", help="write the table there too, in Markdown")
    given = vars(parser.parse_args())
    out = given.pop("out")
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    report = run(**given)
    text = report.markdown()
    print(text)
    if out:
        Path(out).write_text(text)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
