"""The tables of what came of kills, damaged files and hostile packages, with the machine and the day."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from transforms.files.worker import MEMORY_GB

from .kills import Kills
from .mutants import ENDED, MEMORY, READ, REFUSED, SILENT, STRAY, Mutants
from .packages import NOTHING, TOLD, Packages
from .predictions import Predictions

OUTCOMES = (READ, REFUSED, SILENT, STRAY, ENDED, MEMORY)
LIBRARIES = ("torch", "monai", "pydicom", "python-gdcm", "pyjpegls", "pylibjpeg-openjpeg", "Pillow", "nibabel")


@dataclass
class Report:
    """What was asked for, and what came of it: None of what was left out."""

    asked: dict[str, int]
    trainings: Kills | None = None
    kill_predictions: Kills | None = None
    mutants: Mutants | None = None
    weights: Mutants | None = None
    predictions: Predictions | None = None
    packages: Packages | None = None

    @property
    def faults(self) -> list[str]:
        """All that got through."""
        parts = (self.trainings, self.kill_predictions, self.mutants, self.weights, self.predictions, self.packages)
        return [fault for part in parts if part for fault in part.faults]

    def markdown(self) -> str:
        """The tables."""
        options = " ".join(f"--{name} {number}" for name, number in self.asked.items())
        libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
        about = f"{datetime.date.today()}, {machine()}; {libraries}; Python {platform.python_version()}."
        lines = [f"`python -m tests.stress {options}`, {about}", *self._kills(), *self._files(), *self._packages()]
        return "\n".join(lines) + "\n"

    def _kills(self) -> Iterator[str]:
        if self.trainings and self.kill_predictions:
            yield from ("", "| killed (SIGKILL) | kills | runs | lost, or another end than without kills |")
            yield "| --- | --- | --- | --- |"
            yield _row("training", self.trainings.kills, self.trainings.runs, len(self.trainings.faults))
            passed = (
                f"{len(self.kill_predictions.faults)}; {self.kill_predictions.passed_over} cases in which a kill came"
            )
            passed += " were passed over, and made by `--retry`"
            yield _row("prediction", self.kill_predictions.kills, self.kill_predictions.runs, passed)

    def _files(self) -> Iterator[str]:
        if not (self.mutants and self.weights and self.predictions):
            return
        yield from ("", _row("damaged files", *OUTCOMES), _row(*["---"] * (1 + len(OUTCOMES))))
        total: Counter[str] = Counter()
        for kind, found in {**self.mutants.found, **self.weights.found}.items():
            yield _row(kind, *(found[outcome] for outcome in OUTCOMES))
            total += found
        yield _row(f"**all {total.total()}**", *(total[outcome] for outcome in OUTCOMES))
        trees = self.predictions
        yield ""
        yield (
            f"Most memory: the program that reads {self.mutants.own_mb} MB, of which torch and MONAI take about 500; a "
            f"decoding process {self.mutants.decoder_mb} MB of {MEMORY_GB * 1000:g}; loading weights "
            f"{self.weights.own_mb} MB."
        )
        yield ""
        yield (
            f"{trees.files} such files went through `predict` too, in trees, twice: {trees.found['done']} done, "
            f"{trees.found['failed']} failed and {trees.found['left out']} left out, with a reason; "
            f"{len(trees.faults)} runs ended, tracebacks, masks of another size or cases done again; "
            f"{trees.own_mb} MB at most."
        )

    def _packages(self) -> Iterator[str]:
        if not self.packages:
            return
        yield from ("", "| hostile packages | told by `verify` | nothing changed | not told | ended, stray or memory |")
        yield "| --- | --- | --- | --- | --- |"
        every = sum(self.packages.found.values(), Counter[str]())
        for kind, found in {**self.packages.found, f"**all {every.total()}**": every}.items():
            known = (found[TOLD], found[NOTHING], found[SILENT])
            yield _row(kind, *known, found.total() - sum(known))
        yield from ("", f"{self.packages.run} of them ran anything. Most memory: {self.packages.own_mb} MB.")


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def machine() -> str:
    """The processor and the memory."""
    about = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    named = re.search(r"model name\s*: (.*)", about)
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores of {named.group(1) if named else platform.processor()}, {gigabytes:.0f} GB"
