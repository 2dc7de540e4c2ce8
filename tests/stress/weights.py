"""Damaged and hostile files of weights, with what ``model.json`` says of them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import torch

from networks import WeightsError, load_weights
from pipelines.resuming.saved_model import write_model

from .apart import Apart, EndedError, peak_mb
from .damage import change_bytes
from .mutants import ENDED, MEMORY, MOST_MB, READ, REFUSED, SILENT, STRAY, Mutants

KINDS = ("weights, bytes", "weights, bytes, with the hash they have", "model.json, bytes", "weights made to do harm")


class Calls:
    """Pickled: a call, which happens when it is loaded."""

    def __init__(self, function: Any, *arguments: Any):
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple:
        return self.function, self.arguments


def network() -> torch.nn.Module:
    """A network of a few thousand weights."""
    return torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 64))


def _harmful(chance: Random, canary: Path) -> bytes:
    state: dict[str, Any] = dict(network().state_dict())
    size = chance.choice((10**6, 10**9, 5 * 10**9, 10**13))
    value = chance.choice(
        (
            Calls(os.system, f"touch {canary}"),
            Calls(open, str(canary), "w"),
            Calls(bytearray, size),
            torch.zeros(1).expand(chance.choice((10**4, 10**10))),
            torch.full((8,), chance.choice((float("nan"), float("inf")))),
            ["text"] * 1000,
        )
    )
    state[chance.choice(("0.bias", "0.weight", "1.running_mean", "more"))] = value
    buffer = io.BytesIO()
    if chance.random() < 0.2:
        return pickle.dumps(state, chance.choice((0, 2, 4)))
    torch.save(state, buffer, _use_new_zipfile_serialization=chance.random() < 0.8)
    if chance.random() < 0.3 and zipfile.is_zipfile(buffer):
        with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(other := io.BytesIO(), "w", 8) as target:
            for name in source.namelist():
                content = source.read(name)
                target.writestr(name, content + bytes(chance.choice((0, 10**8))) * name.endswith("data/0"))
        buffer = other
    return buffer.getvalue()


def _prepare() -> None:
    torch.set_num_threads(1)


def _load(prepared: None, path: Path) -> tuple[str, str, int]:
    made = network()
    try:
        load_weights(made, path)
        finite = all(torch.isfinite(value).all() for value in made.state_dict().values())
        said = "" if finite else "values that are no numbers"
        outcome = READ if finite else SILENT
    except WeightsError as error:
        said = str(error)
        named = said.startswith((str(path), str(path.with_suffix(".json"))))
        outcome = REFUSED if named else STRAY
    except Exception as error:
        outcome, said = STRAY, f"{type(error).__name__}: {error}"
    own = peak_mb()[0]
    return (MEMORY if own > MOST_MB else outcome), said, own


def load_mutants(number: int, seed: int, scratch: Path) -> Mutants:
    """Damage weights and what is said of them, and load them."""
    found, process = Mutants(), Apart(_load, _prepare)
    path, about, canary = scratch / "model.pt", scratch / "model.json", scratch / "canary"
    torch.manual_seed(0)
    write_model(dict(network().state_dict()), path, {"epoch": 1, "settings": {"image_size": 32}}, about)
    good, described = path.read_bytes(), about.read_bytes()
    try:
        for n in range(number):
            kind, chance = KINDS[n % len(KINDS)], Random(f"weights {seed + n}")
            content = change_bytes(good, chance)
            if kind == KINDS[2]:
                content = good
            elif kind == KINDS[3]:
                content = _harmful(chance, canary)
            sha256 = hashlib.sha256(content).hexdigest()
            fits = json.dumps({**json.loads(described), "sha256": sha256}).encode()
            path.write_bytes(content)
            about.write_bytes({0: described, 1: fits, 2: change_bytes(described, chance), 3: fits}[KINDS.index(kind)])
            try:
                outcome, said, own = process(path)
            except EndedError as error:
                outcome, said, own = ENDED, str(error), 0
            if outcome == READ and kind == KINDS[0] and content != good:
                outcome, said = SILENT, "other weights than model.json describes"
            if canary.exists():
                canary.unlink()
                outcome, said = SILENT, "ran what is in it"
            found.own_mb = max(found.own_mb, own)
            if outcome == MEMORY:
                process.close()
            found.add(kind, outcome, f"{kind}, {seed + n}: {own} MB: {said}")
    finally:
        process.close()
    return found
