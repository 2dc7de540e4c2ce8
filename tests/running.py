"""Runs bundles in this process, as ``python -m monai.bundle run`` and the commands do in one of their own."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import monai.bundle
import pytest
import torch

from pipelines.bundle import Bundle
from pipelines.resuming.saved_model import write_model
from tests.conftest import ROOT
from transforms import plain_error
from transforms.files.lock import locked

BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir())
RADIOGRAPHS = [name for name in BUNDLES if not Bundle(ROOT / "bundles" / name).is_volumetric]
SMALL_UNET = {"network_def#network#channels": [4, 8], "network_def#network#strides": [2]}
SMALL_RADIOGRAPHS = {"image_size": 32, **SMALL_UNET}
SMALL_CT = {"image_size": 32, "batch_size": 16, "network_def#network#decoder_channels": [16, 8, 8, 8, 8]}


def bundle_of(name: str) -> Bundle:
    return Bundle(ROOT / "bundles" / name)


def small(name: str) -> dict[str, Any]:
    """Settings with which a bundle trains and predicts in seconds."""
    settings = SMALL_CT if bundle_of(name).is_volumetric else SMALL_RADIOGRAPHS
    return settings | ({"lungs_weights": ""} if name == "pneumonia" else {})  # the lungs' network is larger


def untrained_folds(name: str, folder: Path, folds: int = 3) -> Path:
    """What a cross-validation of a small network leaves for an ensemble, its models of weights that know nothing."""
    for number in range(folds):
        torch.manual_seed(number)
        network = bundle_of(name).read(["inference"], **small(name)).get_parsed_content("network_def")
        path = folder / f"fold_{number}" / "models" / "model.pt"
        path.parent.mkdir(parents=True)
        write_model(network.state_dict(), path, {"settings": {"image_size": 32}}, path.with_suffix(".json"))
    (folder / "cross_validation.json").write_text(json.dumps({"folds": folds}))
    (folder / "metrics.json").write_text(json.dumps({"evaluated": {"settings": {"bundle": name}}}))
    return folder


def draw(name: str, folder: Path, patients: int = 24, size: int = 96) -> Path:
    """A bundle's own phantoms, small, as its training draws them."""
    patients, size = (6, 48) if bundle_of(name).is_volumetric else (patients, size)
    settings = {"folder": str(folder), "patients": patients, "size": size, "seed": 3}
    parser = bundle_of(name).read(["train"], **{f"phantoms#{key}": value for key, value in settings.items()})
    return Path(parser.get_parsed_content("phantoms"))


def run(name: str, files: Sequence[str], run_id: str, **settings: Any) -> None:
    """What ``python -m monai.bundle run RUN_ID --config_file FILES --SETTING VALUE …`` does."""
    bundle = bundle_of(name)
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in settings.items()}
    monai.bundle.run(
        run_id=run_id,
        config_file=bundle.files(files),
        logging_file=False,  # what is logged stays with pytest
        **{"bundle_root": str(bundle.root), **settings},
    )


@dataclass
class Refusal:
    """What a user was told, after the block of :func:`refused`."""

    text: str = ""


@contextmanager
def refused(message: str) -> Iterator[Refusal]:
    """The block must fail with an error meant for the user, whose text holds ``message``."""
    refusal = Refusal()
    with pytest.raises(Exception) as caught:  # noqa: PT011  # of any kind: what it says is checked below
        yield refusal
    plain = plain_error(caught.value)
    assert plain is not None, f"no error for a user: {caught.value!r}"
    refusal.text = str(plain)
    assert message in refusal.text


@dataclass
class Trained:
    """A bundle trained for two epochs on its phantoms."""

    name: str
    cohort: Path
    out: Path
    small: dict[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> dict[str, Path]:
        return {"dataset_dir": self.cohort, "manifest": self.cohort / "manifest.json"}

    @property
    def folders(self) -> dict[str, Path]:
        return {"ckpt_dir": self.out / "models", "output_dir": self.out / "eval", "cache_dir": self.out / "cache"}

    @property
    def weights(self) -> Path:
        return self.out / "models" / "model.pt"

    @property
    def images(self) -> Path:
        """The folder of the cohort's images, named as in the bundle's own phantoms."""
        return self.cohort / bundle_of(self.name).read(["inference"])["dataset_dir"].rstrip("'").rpartition("/")[2]

    @property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.cohort / "manifest.json").read_text())

    def train(self, *overlays: str, **settings: Any) -> None:
        settings = {"epochs": 2, **self.data, **self.folders, **self.small, **settings}
        run(self.name, ["train", *overlays], "training", **settings)

    def evaluate(self, *overlays: str, **settings: Any) -> None:
        settings = {**self.data, **self.folders, **self.small, **settings}
        run(self.name, ["train", "evaluate", *overlays], "evaluating", **settings)

    def infer(self, folder: Path, out: Path, *overlays: str, **settings: Any) -> None:
        places = {"dataset_dir": folder, "output_dir": out, "weights": self.weights}
        run(self.name, ["inference", *overlays], "run", **{**places, **self.small, **settings})


@contextmanager
def held_by_another(folder: Path) -> Iterator[int]:
    """While the block runs, another process, whose number it gets, holds a folder's lock; the block may kill it."""
    ready, told = os.pipe()
    process = os.fork()
    if process == 0:  # nothing of pytest's may run in it
        try:
            with locked(folder):
                os.write(told, b"!")
                signal.pause()
        finally:
            os._exit(1)
    os.read(ready, 1)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
