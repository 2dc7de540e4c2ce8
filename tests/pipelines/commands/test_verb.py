"""What verbs share: their help, and arguments that several take."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from importlib import import_module

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


def numbers_of(verb):
    """The options of a verb that take a number, as argparse knows them."""
    parser = ArgumentParser()
    if verb.startswith("manifest "):
        import_module(f"pipelines.manifests.{KINDS[verb.split()[1]][0]}").add_arguments(parser)
    else:
        next(one for one in VERBS if one.name == verb).add_arguments(parser)
    for action in parser._actions:
        try:
            is_number = action.type is not None and isinstance(action.type("1"), (int, float))
        except (ValueError, ArgumentTypeError):
            continue
        if is_number:
            yield action


@pytest.mark.parametrize("verb", [*NAMES, *(f"manifest {kind}" for kind in KINDS)])
def test_no_option_takes_a_number_that_cannot_be(verb):
    for action in numbers_of(verb):
        for text in ("-1", "nan", "inf", "1e9", "x", "", " ", "2.5", "99999999999999999999x"):
            with pytest.raises(ArgumentTypeError, match="is not a"):
                action.type(text)


def test_numbers_are_tried_of_these(capsys):
    found = {(verb, action.dest) for verb in NAMES for action in numbers_of(verb)}
    assert {("crossvalidate", "folds"), ("phantoms", "seed"), ("listen", "port"), ("predict", "image_size")} <= found
    assert {action.dest for action in numbers_of("manifest rsna")} == {"seed", "fractions"}
    for line in ("phantoms OUT --seed -1", "listen lungs --spool S --store A@localhost:104 --port 65536"):
        with pytest.raises(SystemExit) as ended:
            main(line.split())
        assert ended.value.code == 2 and "is not a" in capsys.readouterr().err


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
