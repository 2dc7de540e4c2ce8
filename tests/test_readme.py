"""The commands in the documents are commands that the program takes, with files that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from pipelines.__main__ import _parser
from tests.conftest import ROOT, write_radiograph
from tests.running import BUNDLES

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "data_manifests" / "README.md",
    *sorted(ROOT.glob("bundles/*/docs/README.md")),
]


def commands(document: Path) -> list[str]:
    """Each command in the code blocks and in `code` of a document, on one line, without comments."""
    text = document.read_text()
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`([^`\n]*-m (?:pipelines|monai\.bundle)[^`\n]*)`", text)
    return [part.strip() for line in lines for part in line.partition(" #")[0].split("&&")]


def ours(line: str) -> list[str] | None:
    """The arguments of one of our commands, what is optional given too, or None of another."""
    found = re.match(r"(?:\S*python -m pipelines|radbundles) (.+)", line)
    if found is None or "--help" in line or "…" in line or "..." in line:
        return None
    words = re.sub(r"--format \S*\|\S*", "--format nifti", found.group(1).replace("[", " ").replace("]", " "))
    words = re.sub(r"\bSEED\b", "0", words)
    return shlex.split(words) if len(words.split()) > 1 else None  # a verb alone is only named


OURS = [(document, words) for document in DOCUMENTS for line in commands(document) if (words := ours(line))]
MONAIS = [(document, line) for document in DOCUMENTS for line in commands(document) if "-m monai.bundle" in line]


def test_documents_hold_commands():
    assert len(OURS) > 15 and len(MONAIS) > 5


@pytest.mark.parametrize(
    ("document", "words"), OURS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_our_commands_are_taken(document, words, capsys):
    try:
        _parser().parse_args(words)
    except SystemExit:
        pytest.fail(f"{document}: {' '.join(words)}: {capsys.readouterr().err}")


@pytest.mark.parametrize(("document", "line"), MONAIS, ids=lambda value: value if isinstance(value, str) else "")
def test_configurations_that_are_named_exist(document, line):
    for bundle in BUNDLES:
        for name in re.findall(r"(bundles/[\w/]+\.json)", line.replace("BUNDLE", bundle)):
            assert (ROOT / name).is_file(), f"{document}: {name}"


@pytest.mark.parametrize("document", ["README.md", "docs/anywhere.md"])
def test_python_in_documents_runs(document, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("chest.dcm", "a.dcm", "b.dcm"):
        write_radiograph(tmp_path, np.random.default_rng(0).integers(0, 255, (60, 80), np.uint8), name)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    said = {}
    exec(blocks[0], said)
    assert said["found"].mask.shape == (60, 80) or said["found"].boxes is not None
    assert document != "README.md" or capsys.readouterr().out.startswith("(60, 80)\n")
