"""Damaged and hostile files, each read in a process of its own that may not end, nor hold more than its share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import torch

from networks import WeightsError
from transforms import DataError
from transforms.files.worker import MEMORY_GB, close_workers

from .apart import Apart, EndedError, peak_mb
from .audit import wrong
from .damage import ways
from .samples import KINDS, READERS, Sample

READ, REFUSED, SILENT, STRAY, ENDED, MEMORY = (
    "read",
    "refused by name",
    "wrong in silence",
    "stray exception",
    "process ended",
    "over memory limit",
)
FAULTS = (SILENT, STRAY, ENDED, MEMORY)
MOST_MB = (
    1500  # that the program's own process may hold, 500 of it for torch and MONAI; deflated files are inflated there
)


@dataclass
class Mutants:
    """What came of damaged files.

    Attributes:
        found: how often each of the outcomes came, by the kind of file.
        faults: what was wrong, with the kind, the way and the number that make the file again.
        own_mb: the most memory that the reading process held.
        decoder_mb: the most that a decoding process held.
    """

    found: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    own_mb: int = 0
    decoder_mb: int = 0

    def add(self, kind: str, outcome: str, said: str) -> None:
        self.found.setdefault(kind, Counter())[outcome] += 1
        if outcome in FAULTS:
            self.faults.append(f"{outcome}: {said}")


def mutant(sample: Sample, kind: str, seed: int) -> tuple[str, bytes]:
    """A damaged file, the same for the same seed, and the way in which it is damaged."""
    chance = Random(f"{kind} {seed}")
    damages = ways(kind, sample.name)
    while True:
        way = chance.choice(list(damages))
        try:
            return way, damages[way](sample.content, chance)
        except Exception:  # what pydicom cannot write after one change is not changed again: another is drawn
            continue


def make_samples(folder: Path) -> dict[str, Sample]:
    """A good file of each kind."""
    made = {}
    for number, (kind, make) in enumerate(KINDS.items()):
        (folder / str(number)).mkdir(parents=True)
        made[kind] = make(folder / str(number))
    return made


def _prepare() -> None:
    torch.set_num_threads(1)


def _read(prepared: None, reader: str, path: Path | None, damaged: Path) -> tuple[str, str, int, int]:
    """Read a file: in the process of its own. The most memory that it and its decoders held comes with it."""
    if path is None:
        close_workers()  # what they held is known when they have ended
        return READ, "", *peak_mb()
    outcome, said = read_by(READERS[reader], reader, path, damaged)
    own, decoder = peak_mb()
    if own > MOST_MB or decoder > MEMORY_GB * 1000:
        outcome, said = MEMORY, f"{own} MB, decoder {decoder} MB"
    return outcome, said, own, decoder


def read_by(reader: Any, name: str, path: Path, damaged: Path) -> tuple[str, str]:
    """What comes of reading a file, and what is said of it."""
    try:
        values, meta = reader.get_data(reader.read(path))
        if name == "mask":
            values = values.astype(float)
    except (DataError, WeightsError) as error:
        named = str(error).startswith(str(path))
        return (REFUSED, str(error)) if named else (STRAY, f"refused without its name: {error}")
    except Exception as error:
        return STRAY, f"{type(error).__name__}: {error}"
    try:
        fault = wrong(damaged, name, values, meta)
    except Exception as error:
        return SILENT, f"read, but not by others: {type(error).__name__}: {error}"
    return (SILENT, fault) if fault else (READ, "")


def read_mutants(number: int, seed: int, scratch: Path) -> Mutants:
    """Damage files of all kinds, as many of each, and read them."""
    found, process = Mutants(), Apart(_read, _prepare)
    samples = make_samples(scratch / "samples")
    try:
        for place, (kind, sample) in enumerate(samples.items()):
            folder = scratch / str(place)
            whole = sample.write(folder, sample.content)
            if (said := process(sample.reader, whole, folder / sample.name))[0] != READ:
                raise RuntimeError(f"{kind}: the file that is to be damaged is not read: {said}")
            for n in range(seed, seed + number // len(samples) + (place < number % len(samples))):
                way, content = mutant(sample, kind, n)
                path = sample.write(folder, content)
                try:
                    outcome, said, own, decoder = process(sample.reader, path, folder / sample.name)
                except EndedError as error:
                    outcome, said, own, decoder = ENDED, str(error), 0, 0
                found.own_mb, found.decoder_mb = max(found.own_mb, own), max(found.decoder_mb, decoder)
                if outcome == MEMORY:  # or all that follow would be over it too
                    process.close()
                found.add(kind, outcome, f"{kind}, {way}, {n}: {said}")
        *_, own, decoder = process("", None, scratch)
        found.own_mb, found.decoder_mb = max(found.own_mb, own), max(found.decoder_mb, decoder)
    finally:
        process.close()
    return found
