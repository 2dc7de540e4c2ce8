"""Trees of damaged and hostile files, given to ``predict``."""

from __future__ import annotations

import json
import re
import resource
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel
import pydicom
import torch
from PIL import Image

from pipelines.prediction.predict import predict
from tests.running import bundle_of, small

from .apart import MB, run_apart
from .kills import make_weights
from .mutants import MOST_MB, make_samples, mutant
from .samples import Sample

BUNDLES = {"lungs": "radiograph", "abdomen": "CT"}
UIDS = re.compile(rb"(?:1\.2\.826\.0\.1\.3680043\.8\.498|2\.25)\.\d{20,}")  # of the samples
MORE_MB = 500  # than a reader: the network and what it computes


@dataclass
class Predictions:
    """What came of trees of damaged files: files by outcome, and what should not have been."""

    runs: int = 0
    files: int = 0
    found: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    own_mb: int = 0

    def check(self, fine: bool, fault: str) -> None:
        if not fine:
            self.faults.append(fault)


def _predict(bundle: str, tree: Path, out: Path, weights: Path) -> int:
    torch.set_num_threads(1)
    code = predict(bundle_of(bundle), dataset_dir=tree, output_dir=out, weights=str(weights), **small(bundle))
    (out / "peak").write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // MB))
    return code


def predict_mutants(number: int, seed: int, scratch: Path) -> Predictions:
    """Give damaged files to a bundle of radiographs and to one of CT, twice: the second time nothing is done again."""
    found, samples = Predictions(), make_samples(scratch / "samples")
    for bundle, reader in BUNDLES.items():
        tree, weights = scratch / bundle / "in", make_weights(bundle, scratch / f"{bundle}.pt")
        kinds = [kind for kind, sample in samples.items() if sample.reader == reader]
        for n in range(number // len(BUNDLES)):
            kind = kinds[n % len(kinds)]
            _of_its_own(samples[kind], n).write(tree / str(n), _numbered(mutant(samples[kind], kind, seed + n)[1], n))
            found.files += 1
        _run(bundle, tree, scratch / bundle / "out", weights, found)
    return found


def _numbered(content: bytes, number: int) -> bytes:
    """With UIDs of its own: copies of an instance would be left out."""
    return UIDS.sub(lambda found: found[0][:-5] + b"%05d" % number, content)


def _of_its_own(sample: Sample, number: int) -> Sample:
    beside = {name: _numbered(content, number) for name, content in sample.beside.items()}
    return replace(sample, beside=beside)


def _run(bundle: str, tree: Path, out: Path, weights: Path, found: Predictions) -> None:
    codes: list[int | None] = []
    summaries: list[dict[str, Any]] = []
    for number in (1, 2):
        log = out.parent / f"log_{number}"
        process = run_apart(_predict, log, bundle, tree, out, weights)
        process.join()
        found.runs += 1
        codes.append(process.exitcode)
        found.check(process.exitcode in (0, 1), f"{bundle}: ended with {process.exitcode}: {log.read_text()[-1000:]}")
        found.check("Traceback" not in log.read_text(), f"{bundle}: a traceback: {log.read_text()[:3000]}")
        if process.exitcode not in (0, 1):
            return
        summaries.append(json.loads((out / "summary.json").read_text()))
        found.own_mb = max(found.own_mb, int((out / "peak").read_text()))
        found.check(found.own_mb <= MOST_MB + MORE_MB, f"{bundle}: {found.own_mb} MB")
    first, second = summaries
    found.check(codes[0] == codes[1], f"{bundle}: ended with {codes}")
    found.check(second["done_before"] == len(first["done"]) == len(second["done"]), f"{bundle}: done twice")
    left_out = {Path(file) for group in first["left_out"] for file in group["files"]}
    failed = {Path(case["case"]): case["error"] for case in first["failed"]}
    done = {Path(case["case"]): [out / name for name in case["outputs"]] for case in first["done"]}
    for case, error in failed.items():
        found.check(bool(error) and "Error:" not in error[:30], f"{bundle}: {case}: no reason for its user: {error}")
    for folder in tree.iterdir():
        paths = {folder, *folder.iterdir()}
        outcome = next((name for name, of in (("done", done), ("failed", failed)) if paths & of.keys()), "left out")
        found.check(outcome != "left out" or bool(paths & left_out), f"{bundle}: {folder} is not in the summary")
        found.found[outcome] += 1
    for case, outputs in done.items():
        (mask,) = [path for path in outputs if "_mask." in path.name]
        found.check(_size(mask) == _size(case), f"{bundle}: {mask} is of {_size(mask)}, {case} of {_size(case)}")


def _size(path: Path) -> list[int]:
    """The length of a row and of a column by a file's own header, the shorter one first, as a picture may be turned."""
    path = max(path.iterdir()) if path.is_dir() else path
    start = path.read_bytes()[:132]
    if start.startswith((b"\x89PNG", b"\xff\xd8\xff")):
        with Image.open(path) as image:
            return sorted(image.size)
    if start[128:] == b"DICM":
        header = pydicom.dcmread(path, stop_before_pixels=True)
        return sorted((int(header.Columns), int(header.Rows)))
    return sorted(int(length) for length in nibabel.load(path).shape[:2])
