"""``manifest``: its kinds on the command line, and what they call, with what."""

from __future__ import annotations

import argparse
import json
import sys

import pytest

from pipelines import draw_phantoms
from pipelines.__main__ import main
from pipelines.commands.manifest import KINDS, add_arguments
from pipelines.manifests import abdominal_trauma, abdominal_trauma_png, coco_boxes, joined, mask_folders, rsna_pneumonia


def manifest_parser():
    parser = argparse.ArgumentParser(prog="manifest")
    add_arguments(parser)
    return parser


def test_help_lists_the_kinds_and_imports_none(capsys, monkeypatch):
    modules = [f"pipelines.manifests.{module}" for module, _ in KINDS.values()]
    for module in modules:
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(SystemExit):
        manifest_parser().parse_args(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert all(f"{kind} {text}" in shown for kind, (_, text) in KINDS.items())
    assert not set(modules) & set(sys.modules)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "join"])  # which divides nothing
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


# What a kind is given; the function that it calls, and with what: what is not given is the builder's default.
CALLS = [
    (
        "rsna DIR --out FILE",
        (rsna_pneumonia, "build_rsna_manifest"),
        {"folder": "DIR", "out": "FILE", "checksums": False},
    ),
    (
        "rsna DIR --out FILE --name x --seed 3 --fractions 0.5 0.2 0.3 --persons CSV --checksums "
        "--unknown_spacing pixels",
        (rsna_pneumonia, "build_rsna_manifest"),
        {"folder": "DIR", "out": "FILE", "name": "x", "seed": 3, "fractions": [0.5, 0.2, 0.3]}
        | {"persons": "CSV", "checksums": True, "unknown_spacing": "pixels"},
    ),
    (
        "trauma DIR --out FILE",
        (abdominal_trauma, "build_abdominal_trauma_manifest"),
        {"folder": "DIR", "out": "FILE"},
    ),
    (
        "trauma_png DIR --out FILE --name x",
        (abdominal_trauma_png, "build_png_slices_manifest"),
        {"folder": "DIR", "out": "FILE", "name": "x"},
    ),
    (
        "masks DIR --task lungs --out FILE --name x --licence CC0 --patients CSV",
        (mask_folders, "build_masks_manifest"),
        {"folder": "DIR", "task": "lungs", "out": "FILE", "name": "x", "licence": "CC0", "patients": "CSV"},
    ),
    (
        "join DIR --parts a=A.json b=B.json --name x --out FILE",
        (joined, "join_manifests"),
        {"folder": "DIR", "parts": ["a=A.json", "b=B.json"], "name": "x", "out": "FILE"},
    ),
    (
        "coco DIR --annotations JSON --task pneumonia --out FILE --categories a b",
        (coco_boxes, "build_coco_manifest"),
        {"folder": "DIR", "annotations": "JSON", "task": "pneumonia", "out": "FILE", "categories": ["a", "b"]},
    ),
]


@pytest.mark.parametrize(("line", "function", "settings"), CALLS, ids=[line for line, _, _ in CALLS])
def test_arguments_reach_the_builders(call, line, function, settings):
    assert call(f"manifest {line}", *function) == ([], settings)


def test_what_a_builder_cannot_do_without_is_asked_for(misused):
    assert "required: DIR, --out" in misused("manifest rsna")
    assert "required: --annotations, --task" in misused("manifest coco DIR --out FILE")
    assert "required: --task" in misused("manifest masks DIR --out FILE --name x")


def test_audit_says_what_is_in_two_splits(tmp_path, capsys):
    data = draw_phantoms(tmp_path / "data", patients=10, size=64)
    given = ["audit", "--manifest", f"{data}/manifest.json", "--dataset_dir", str(data)]
    assert main([*given, "--strict"]) == 0
    assert "no image is in two splits" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    manifest["test"].append(manifest["training"][0] | {"patient_id": "other"})
    (tmp_path / "data" / "manifest.json").write_text(json.dumps(manifest))
    assert main(given) == 0
    assert main([*given, "--strict"]) == 1 and "1 pairs of entries in different splits" in capsys.readouterr().err


def test_the_summary_is_all_of_stdout_where_it_is_asked_for(cohort, tmp_path, capfd, caplog):
    out = tmp_path / "m.json"
    with caplog.at_level("INFO"):
        assert main(["manifest", "rsna", str(cohort), "--out", str(out), "--json"]) == 0
    said, manifest = capfd.readouterr(), json.loads(out.read_text())
    summary = json.loads(said.out)
    assert summary["manifest"] == str(out) and summary["task"] == "pneumonia"
    assert summary["images"] == {split: len(manifest[split]) for split in ("training", "validation", "test")}
    assert sum(summary["patients"].values()) == 24 and "left out 0" in caplog.text
    assert main(["manifest", "rsna", str(cohort), "--out", str(out), "--quiet"]) == 0
    said = capfd.readouterr()
    assert said.out == "" and said.err == ""
