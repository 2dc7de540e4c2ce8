"""What verbs share: their help, and arguments that several take."""

from __future__ import annotations

import pytest

from pipelines.__main__ import VERBS, main
from pipelines.bundle import Bundle
from pipelines.commands.manifest import KINDS
from pipelines.commands.verb import check_unknown_spacing
from tests.conftest import ROOT
from transforms import DataError

NAMES = (
    *("init", "manifest", "phantoms", "ct_phantoms", "audit", "evaluate", "calibrate", "report", "compare", "card"),
    *("predict", "listen", "crossvalidate", "benchmark", "export", "latency", "package", "label", "verify"),
)


@pytest.mark.parametrize("verb", [*NAMES, *(f"manifest {kind}" for kind in KINDS)])
def test_every_verb_has_help(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*verb.split(), "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m pipelines {verb} [-h]")


def test_the_help_lists_every_verb_with_its_line(capsys):
    assert [verb.name for verb in VERBS] == list(NAMES)
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert all(f" {verb.name} {verb.help}" in text for verb in VERBS)
    with pytest.raises(SystemExit):
        main(["manifest", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert all(f" {kind} {line}" in text for kind, (_, line) in KINDS.items())


@pytest.mark.parametrize(("verb", "code"), [("evaluate", 1), ("predict", 2)])
def test_spacing_is_of_radiographs(verb, code, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    more = ["--input", "DIR", "--output", "OUT"] if verb == "predict" else []
    assert main([verb, "abdomen", "--unknown_spacing", "pixels", *more]) == code
    assert capsys.readouterr().err.startswith("error: abdomen: has no --unknown_spacing, which is for radiographs.")


def test_radiographs_take_a_spacing_and_volumes_none():
    asked = {"reader#unknown_spacing": "pixels"}
    check_unknown_spacing(Bundle(ROOT / "bundles" / "lungs"), asked)
    check_unknown_spacing(Bundle(ROOT / "bundles" / "abdomen"), {"weights": "FILE"})
    with pytest.raises(DataError, match="which is for radiographs"):
        check_unknown_spacing(Bundle(ROOT / "bundles" / "abdomen"), asked)
