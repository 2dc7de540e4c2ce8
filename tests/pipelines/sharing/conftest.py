"""What the tests of packages share: a small bundle, its package, and the commands in this process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from pipelines.__main__ import main
from tests.conftest import ROOT


class Runs:
    """Unpickled by the usual means, it prints."""

    def __reduce__(self):
        return (print, ("was run",))


def packaged(root: Path, out: Path, *options: Path | str) -> Path:
    assert main(["package", str(root), "--out", str(out), *map(str, options)]) == 0
    return out


def refusal(arguments: Sequence[os.PathLike | str], capsys: pytest.CaptureFixture) -> str:
    """What a command says that refuses its arguments."""
    assert main(list(map(str, arguments))) == 1
    return capsys.readouterr().err


def copied(root: Path) -> Path:
    source = ROOT / "bundles" / "pneumonia"
    for path in [*source.glob("configs/*"), *source.glob("docs/*"), source / "LICENSE"]:
        copy = root / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (root / "models").mkdir()
    torch.save({"layer.weight": torch.ones(2, 3)}, root / "models" / "model.pt")
    return root


@pytest.fixture
def small(tmp_path):
    """A bundle's folder with weights, to be changed before it is packaged."""
    return copied(tmp_path / "bundles" / "small")


@pytest.fixture(scope="session")
def small_package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    return packaged(copied(folder / "small"), folder / "small.zip").read_bytes()


@pytest.fixture
def path(small_package, tmp_path):
    """A packaged bundle, to be tampered with."""
    path = tmp_path / "small.zip"
    path.write_bytes(small_package)
    return path


@pytest.fixture
def here(small, tmp_path, monkeypatch):
    """The folder of one's own bundle ``small``, whose package is ``path``; the working folder holds it."""
    monkeypatch.chdir(tmp_path)
    return small
