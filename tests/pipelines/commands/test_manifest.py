"""The kinds of manifests on the command line."""

from __future__ import annotations

import argparse
import sys

import pytest

from pipelines.commands.manifest import KINDS, add_arguments


def manifest_parser():
    parser = argparse.ArgumentParser(prog="manifest")
    add_arguments(parser)
    return parser


def test_help_lists_the_kinds_and_imports_none(capsys, monkeypatch):
    modules = [f"pipelines.{module}" for module, _ in KINDS.values()]
    for module in modules:
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(SystemExit):
        manifest_parser().parse_args(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert all(f"{kind} {text}" in shown for kind, (_, text) in KINDS.items())
    assert not set(modules) & set(sys.modules)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_arguments_and_command(kind, capsys):
    parser = manifest_parser()
    with pytest.raises(SystemExit):
        parser.parse_args([kind, "--help"])
    assert "--out FILE" in capsys.readouterr().out
    task = ["--task", "effusion", "--name", "n"]
    extra = {"masks": task, "coco": [*task, "--annotations", "boxes.json"]}.get(kind, [])
    found = parser.parse_args([kind, "DIR", "--out", "m.json", "--fractions", "0.6", "0.2", "0.2", *extra])
    assert (found.folder, found.out, found.fractions) == ("DIR", "m.json", [0.6, 0.2, 0.2])
    assert found.seed is None and found.command.__name__.startswith("build_")
