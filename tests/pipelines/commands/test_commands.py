"""The command line: what each verb takes and calls, how it ends, and that its help does not wait for torch."""

from __future__ import annotations

import json
import pickle
import pkgutil
import pydoc
import re
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

import pipelines
from pipelines.__main__ import VERBS, main
from pipelines.bundle import Bundle
from pipelines.commands.manifest import KINDS
from pipelines.evaluation import cross_validation
from pipelines.label import server as label
from pipelines.manifests import abdominal_trauma, abdominal_trauma_png, coco_boxes, mask_folders, rsna_pneumonia
from pipelines.phantoms import ct as ct_phantoms
from pipelines.phantoms import radiographs as phantoms
from pipelines.prediction import predict as prediction
from pipelines.sharing import export, package, verify_package
from pipelines.timing import latency
from pipelines.timing import training as benchmark
from tests.conftest import ROOT

NAMES = (
    *("manifest", "phantoms", "ct_phantoms", "evaluate", "predict", "crossvalidate"),
    *("benchmark", "export", "latency", "package", "label", "verify"),
)


def test_help_imports_nothing_that_takes_its_time():
    program = (
        "import sys, pipelines\nfrom pipelines.__main__ import main\n"
        "try:\n    main(['manifest', '--help'])\n"
        "except SystemExit:\n    print('loaded:', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    output = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(output.stdout.partition("loaded: ")[2].split())
    assert "pipelines" in loaded
    assert not loaded & {"torch", "monai", "ignite", "numpy", "pandas", "pydicom", "matplotlib", "transforms"}


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


# Each verb with its arguments; the function that it calls, and with what, by place and by name.
CALLS = [
    (
        "manifest rsna DIR --out FILE",
        (rsna_pneumonia, "build_rsna_manifest"),
        [],
        {"folder": "DIR", "out": "FILE", "checksums": False},  # what is not given is the builder's default
    ),
    (
        "manifest rsna DIR --out FILE --name x --seed 3 --fractions 0.5 0.2 0.3 --persons CSV --checksums "
        "--unknown_spacing pixels",
        (rsna_pneumonia, "build_rsna_manifest"),
        [],
        {"folder": "DIR", "out": "FILE", "name": "x", "seed": 3, "fractions": [0.5, 0.2, 0.3]}
        | {"persons": "CSV", "checksums": True, "unknown_spacing": "pixels"},
    ),
    (
        "manifest trauma DIR --out FILE",
        (abdominal_trauma, "build_abdominal_trauma_manifest"),
        [],
        {"folder": "DIR", "out": "FILE"},
    ),
    (
        "manifest trauma_png DIR --out FILE --name x",
        (abdominal_trauma_png, "build_png_slices_manifest"),
        [],
        {"folder": "DIR", "out": "FILE", "name": "x"},
    ),
    (
        "manifest masks DIR --task lungs --out FILE --name x --licence CC0 --patients CSV",
        (mask_folders, "build_masks_manifest"),
        [],
        {"folder": "DIR", "task": "lungs", "out": "FILE", "name": "x", "licence": "CC0", "patients": "CSV"},
    ),
    (
        "manifest coco DIR --annotations JSON --task pneumonia --out FILE --categories a b",
        (coco_boxes, "build_coco_manifest"),
        [],
        {"folder": "DIR", "annotations": "JSON", "task": "pneumonia", "out": "FILE", "categories": ["a", "b"]},
    ),
    (
        "phantoms DIR --truth lungs",
        (phantoms, "draw_phantoms"),
        [],
        {"folder": "DIR", "patients": 120, "size": 512, "seed": 0, "truth": "lungs"},
    ),
    (
        "ct_phantoms DIR --size 64",
        (ct_phantoms, "draw_ct_phantoms"),
        [],
        {"folder": "DIR", "patients": 16, "size": 64, "seed": 0},
    ),
    (
        "predict lungs --input DIR --output OUT",
        (prediction, "predict"),
        ["lungs"],
        {"dataset_dir": "DIR", "output_dir": "OUT", "overlays": (), "fractional": False, "report": False},
    ),
    (
        "predict pneumonia --input DIR --output OUT --format seg --fractional --report --submission CSV --weights FILE "
        "--overlays a b --image_size 64 --unknown_spacing pixels",
        (prediction, "predict"),
        ["pneumonia"],
        {"dataset_dir": "DIR", "output_dir": "OUT", "format": "seg", "fractional": True, "report": True}
        | {"submission": "CSV", "weights": "FILE", "overlays": ["a", "b"], "image_size": 64}
        | {"reader#unknown_spacing": "pixels"},
    ),
    (
        "crossvalidate opacity --manifest FILE --dataset_dir DIR --output OUT --folds 3 --epochs 2 --evaluation a",
        (cross_validation, "cross_validate"),
        ["opacity"],
        {"manifest": "FILE", "dataset_dir": "DIR", "output_dir": "OUT", "folds": 3, "seed": 0, "epochs": 2}
        | {"overlays": (), "evaluation": ["a"]},
    ),
    ("benchmark lungs", (benchmark, "benchmark"), ["lungs"], {}),
    (
        "benchmark lungs --manifest FILE --dataset_dir DIR",
        (benchmark, "benchmark"),
        ["lungs"],
        {"manifest": "FILE", "dataset_dir": "DIR"},
    ),
    ("export lungs --out FILE", (export, "export"), ["lungs"], {"out": "FILE", "overlays": ()}),
    (
        "export lungs --out FILE --weights W --overlays --image_size 64",
        (export, "export"),
        ["lungs"],
        {"out": "FILE", "weights": "W", "overlays": [], "image_size": 64},
    ),
    ("latency lungs", (latency, "latency"), ["lungs"], {}),
    ("package lungs --out FILE", (package, "package"), ["lungs", "FILE"], {}),
    (
        "label lungs opacity --studies DIR --port 8001",
        (label, "start_server"),
        [["lungs", "opacity"]],
        {"studies": "DIR", "app": "monailabel_app", "port": 8001},
    ),
    ("verify FILE", (verify_package, "verify"), ["FILE"], {}),
]


@pytest.mark.parametrize(("line", "function", "given", "settings"), CALLS, ids=[call[0] for call in CALLS])
def test_arguments_reach_the_functions(line, function, given, settings, monkeypatch):
    calls = []
    monkeypatch.setattr(*function, lambda *given, **settings: calls.append((_with_names(given), settings)))
    monkeypatch.chdir(ROOT)
    assert main(line.split()) == 0
    assert calls == [(given, settings)]


def _with_names(given):
    """Names in the place of bundles."""
    if isinstance(given, (list, tuple)):
        return [_with_names(item) for item in given]
    return given.name if isinstance(given, Bundle) else given


def test_evaluate_measures_the_split_with_the_weights_that_were_asked_for(tmp_path, capsys):
    data, out, bundle = tmp_path / "data", tmp_path / "out", tmp_path / "lungs"
    phantoms.draw_phantoms(data, patients=12, size=64, truth="lungs")
    shutil.copytree(ROOT / "bundles" / "lungs", bundle, ignore=shutil.ignore_patterns("cache", "phantoms", "eval"))
    given = ["evaluate", str(bundle), "--dataset_dir", str(data), "--manifest", f"{data}/manifest.json"]
    assert main([*given, "--output", str(out), "--split", "validation"]) == 0
    metrics = json.loads((out / "validation" / "metrics.json").read_text())
    assert metrics["images"] == 1 and metrics["dice_by_image_over_positives"] > 0.9
    assert main([*given, "--output", str(out), "--weights", "gone.pt"]) == 1
    assert "error: gone.pt: no such file" in capsys.readouterr().err


@pytest.mark.parametrize(("verb", "code"), [("evaluate", 1), ("predict", 2)])
def test_spacing_is_of_radiographs(verb, code, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    more = ["--input", "DIR", "--output", "OUT"] if verb == "predict" else []
    assert main([verb, "abdomen", "--unknown_spacing", "pixels", *more]) == code
    assert capsys.readouterr().err.startswith("error: abdomen: has no --unknown_spacing, which is for radiographs.")


# How it ends -------------------------------------------------------------------------------------------------------


def test_codes(monkeypatch, capsys):
    assert main(["verify", "gone.zip"]) == 1
    assert capsys.readouterr().err.startswith("error: gone.zip: cannot be read")
    assert main(["predict", "gone", "--input", "DIR", "--output", "OUT"]) == 2
    assert capsys.readouterr().err.startswith("error: gone: no such bundle")
    for wrong in ([], ["manifest"], ["preict"], ["phantoms", "DIR", "--size", "x"], ["predict", "lungs"]):
        with pytest.raises(SystemExit) as ended:
            main(wrong)
        assert ended.value.code == 2
    monkeypatch.chdir(ROOT)
    for code in (0, 1, 2, 130):
        monkeypatch.setattr(prediction, "predict", lambda bundle, code=code, **settings: code)
        assert main(["predict", "lungs", "--input", "DIR", "--output", "OUT"]) == code


def test_what_is_no_fault_of_the_users_is_not_hidden(monkeypatch):
    def broken(file):
        raise KeyError("a fault of ours")

    monkeypatch.setattr(verify_package, "verify", broken)
    with pytest.raises(KeyError):
        main(["verify", "FILE"])


# The face for configurations ------------------------------------------------------------------------------------------


def test_every_name_of_the_face_is_found_as_configurations_find_it():
    for name in pipelines.__all__:
        thing = getattr(pipelines, name)
        assert thing.__name__ == name and name in dir(pipelines)
        assert pydoc.locate(f"pipelines.{name}") is thing  # as MONAI does
        assert pickle.loads(pickle.dumps(thing)) is thing  # as workers of a DataLoader do
    with pytest.raises(AttributeError, match="module 'pipelines' has no attribute 'gone'"):
        pipelines.gone  # noqa: B018


def test_no_module_hides_a_name_of_the_face():
    """Importing ``pipelines.x`` would make ``pipelines.x`` the module."""
    assert not {module.name for module in pkgutil.iter_modules(pipelines.__path__)} & set(pipelines.__all__)


def test_the_console_script_is_the_command_line():
    value = re.search(r'^radbundles = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert EntryPoint("radbundles", value, "console_scripts").load() is main
