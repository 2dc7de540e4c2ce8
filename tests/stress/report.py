"""The table of what came of kills, damaged files and hostile packages, with the machine and the day."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections import Counter
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
    """What was asked for, and what came of it."""

    kills: int
    mutants_asked: int
    packages_asked: int
    seed: int
    trainings: Kills = None  # type: ignore[assignment]
    kill_predictions: Kills = None  # type: ignore[assignment]
    mutants: Mutants = None  # type: ignore[assignment]
    weights: Mutants = None  # type: ignore[assignment]
    predictions: Predictions = None  # type: ignore[assignment]
    packages: Packages = None  # type: ignore[assignment]

    @property
    def faults(self) -> list[str]:
        """All that got through."""
        parts = (self.trainings, self.kill_predictions, self.mutants, self.weights, self.predictions, self.packages)
        return [fault for part in parts for fault in part.faults]

    def markdown(self) -> str:
        """The tables."""
        command = f"--kills {self.kills} --mutants {self.mutants_asked} --packages {self.packages_asked}"
        lines = [
            f"`python -m tests.stress {command} --seed {self.seed}`, {datetime.date.today()}, {machine()}; "
            + ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
            + f"; Python {platform.python_version()}.",
            *("", "| killed (SIGKILL) | kills | runs | lost, or another result than without kills |"),
            "| --- | --- | --- | --- |",
            f"| training | {self.trainings.kills} | {self.trainings.runs} | {len(self.trainings.faults)} |",
            f"| prediction | {self.kill_predictions.kills} | {self.kill_predictions.runs} | "
            f"{len(self.kill_predictions.faults)}; {self.kill_predictions.passed_over} cases passed over, and made by "
            "`--retry` |",
            *("", f"| damaged files | {' | '.join(OUTCOMES)} |", f"| --- {'| --- ' * len(OUTCOMES)}|"),
        ]
        total: Counter[str] = Counter()
        for kind, found in {**self.mutants.found, **self.weights.found}.items():
            lines.append(_row(kind, [found[outcome] for outcome in OUTCOMES]))
            total += found
        lines.append(_row(f"**all, {total.total()}**", [total[outcome] for outcome in OUTCOMES]))
        p = self.predictions
        lines += [
            "",
            f"Most memory: the program that reads {self.mutants.own_mb} MB, of which torch and MONAI take about 500; a "
            f"decoding process {self.mutants.decoder_mb} MB of {MEMORY_GB * 1000:g}; loading weights "
            f"{self.weights.own_mb} MB.",
            "",
            f"Of these files {p.files} went through `predict` too, in trees, twice: {p.found['done']} done, "
            f"{p.found['failed']} failed and {p.found['left out']} left out with a reason; {len(p.faults)} runs ended, "
            f"tracebacks, masks of another size or cases done twice; {p.own_mb} MB at most.",
            *("", "| hostile packages | told by `verify` | nothing changed | not told | run | ended or stray |"),
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for kind, found in self.packages.found.items():
            others = found.total() - found[TOLD] - found[NOTHING] - found[SILENT]
            lines.append(_row(kind, [found[TOLD], found[NOTHING], found[SILENT], "", others]))
        every = sum(self.packages.found.values(), Counter())
        others = every.total() - every[TOLD] - every[NOTHING] - every[SILENT]
        sums = [every[TOLD], every[NOTHING], every[SILENT], self.packages.run, others]
        lines += [_row(f"**all, {every.total()}**", sums), "", f"Most memory: {self.packages.own_mb} MB."]
        return "\n".join(lines) + "\n"


def _row(name: str, cells: list[object]) -> str:
    return f"| {name} | {' | '.join(map(str, cells))} |"


def machine() -> str:
    """The processor and the memory."""
    about = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    named = re.search(r"model name\s*: (.*)", about)
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores of {named.group(1) if named else platform.processor()}, {gigabytes:.0f} GB"
