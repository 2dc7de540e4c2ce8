"""A bundle on disk: found by name or folder, and what its metadata say of it."""

from __future__ import annotations

import hashlib
import json
import shutil
from fnmatch import fnmatch

import pytest
from setuptools.config.pyprojecttoml import read_configuration

from pipelines import bundle as bundle_module
from pipelines.bundle import Bundle
from tests.conftest import ROOT
from transforms import DataError


def test_a_bundle_is_found_by_its_name_and_by_its_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    assert Bundle.find("lungs").root.resolve() == Bundle.find(ROOT / "bundles" / "lungs").root == ROOT / "bundles/lungs"
    with pytest.raises(DataError, match="gone: no such bundle"):
        Bundle.find("gone")
    with pytest.raises(DataError, match=f"{tmp_path}: is not a bundle"):
        Bundle(tmp_path)


def test_the_working_folder_s_bundles_come_before_those_of_the_program(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Bundle.find("lungs").root == ROOT / "bundles" / "lungs"
    Bundle.find("lungs").copy("bundles")
    assert Bundle.find("lungs").root.resolve() == tmp_path / "bundles" / "lungs"
    assert Bundle.names() == ["abdomen", "lungs", "opacity", "pneumonia"]
    with pytest.raises(DataError, match="There are abdomen, lungs, opacity, pneumonia"):
        Bundle.find("gone")


def test_what_pip_installed_is_not_to_be_changed_and_what_is_in_a_clone_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Bundle.find("lungs", to_change=True).root == ROOT / "bundles" / "lungs"
    monkeypatch.setattr(bundle_module, "IN_CLONE", False)
    with pytest.raises(DataError, match="is installed, and .* radbundles init bundles lungs"):
        Bundle.find("lungs", to_change=True)
    Bundle.find("lungs").copy("bundles")
    assert Bundle.find("lungs", to_change=True).root.resolve() == tmp_path / "bundles" / "lungs"


def test_a_copy_holds_what_is_shipped_and_replaces_nothing(tmp_path):
    lungs = Bundle(ROOT / "bundles" / "lungs")
    copied = lungs.copy(tmp_path)
    names = {path.relative_to(copied).as_posix() for path in copied.rglob("*") if path.is_file()}
    assert names == set(lungs.shipped()) and {"models/model.pt", "configs/train.json", "LICENSE"} <= names
    (copied / "configs" / "train.json").write_text("mine")
    with pytest.raises(DataError, match="lungs: is there already, and is kept"):
        lungs.copy(tmp_path)
    assert (copied / "configs" / "train.json").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["lungs"]
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be written"):
        lungs.copy(tmp_path / "file")


@pytest.mark.parametrize(
    ("name", "volumetric", "boxes", "classes"),
    [
        ("pneumonia", False, True, ["background", "pneumonia"]),
        ("lungs", False, False, ["background", "lungs"]),
        ("abdomen", True, False, ["background", "liver", "spleen", "left kidney", "right kidney", "bowel"]),
    ],
)
def test_a_bundle_says_what_it_is(name, volumetric, boxes, classes):
    bundle = Bundle(ROOT / "bundles" / name)
    assert (bundle.name, bundle.is_volumetric, bundle.finds_boxes, bundle.classes) == (name, volumetric, boxes, classes)
    assert bundle.gives_probabilities == (len(classes) == 2)
    assert len(bundle.segments) == len(classes) - 1


def test_overlays_and_overrides_win_in_their_order():
    bundle = Bundle(ROOT / "bundles" / "abdomen")
    assert bundle.read(["train"])["image_size"] == 512
    assert bundle.read(["train", "quick"])["image_size"] == 128
    parser = bundle.read(["train", "quick"], image_size=64, **{"network_def#network#out_channels": 2})
    assert parser["image_size"] == 64 and parser["network_def"]["network"]["out_channels"] == 2
    assert parser["bundle_root"] == str(ROOT / "bundles" / "abdomen")
    with pytest.raises(DataError, match="slow.json: no such overlay"):
        bundle.read(["train", "slow"])


def test_two_trainings_are_two_algorithms(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"a")
    algorithm = Bundle(ROOT / "bundles" / "lungs").algorithm(tmp_path / "a.pt")
    version = json.loads((ROOT / "bundles/lungs/configs/metadata.json").read_text())["version"]
    digest = hashlib.sha256(b"a").hexdigest()
    assert algorithm.weights == digest and algorithm.version == f"{version}, weights {digest[:12]}"
    assert algorithm.name == "Lungs on chest radiographs" and algorithm.type == "AUTOMATIC"


def test_of_the_documents_those_that_are_named_travel_and_no_others(tmp_path):
    bundle = Bundle(ROOT / "bundles" / "lungs").copy(tmp_path)
    before = Bundle(bundle).shipped()
    for name in ("notes.txt", "patients.csv.bak", "mine/README.md", "figures.json"):
        (bundle / "docs" / name).parent.mkdir(exist_ok=True)
        (bundle / "docs" / name).write_text("{}")
    assert sorted(Bundle(bundle).shipped()) == sorted(before)
    patterns = read_configuration(ROOT / "pyproject.toml", expand=False)["tool"]["setuptools"]["package-data"][
        "bundles"
    ]
    of_docs = [pattern for pattern in patterns if fnmatch("lungs/docs/notes.txt", pattern) or "/docs/" in pattern]
    assert of_docs == [f"*/docs/{name}" for name in bundle_module.DOCS]


@pytest.mark.parametrize("temperature", ["1.5", None, float("nan"), 0, True, [1.0]])
def test_a_damaged_temperature_is_refused(tmp_path, temperature):
    lungs = Bundle(ROOT / "bundles" / "lungs")
    weights = tmp_path / "model.pt"
    shutil.copyfile(lungs.weights, weights)
    about = {"sha256": hashlib.sha256(weights.read_bytes()).hexdigest(), "temperature": temperature}
    (tmp_path / "model.json").write_text(json.dumps(about))
    with pytest.raises(DataError, match="model.json: its temperature must be a number above 0"):
        lungs.temperature(weights, lungs.read(["inference"]))


@pytest.mark.parametrize("changed", [{"names": ["inference", "fixed_threshold"]}, {"share_of_peak": 0.5}])
def test_a_temperature_is_for_the_outline_that_it_was_fitted_with(changed):
    pneumonia = Bundle(ROOT / "bundles" / "pneumonia")
    fitted = json.loads(pneumonia.weights.with_suffix(".json").read_text())["temperature"]
    assert pneumonia.temperature(pneumonia.weights, pneumonia.read(["inference"], image_size=128)) == fitted
    with pytest.raises(DataError, match="is not as in inference.json, with which the temperature was fitted"):
        pneumonia.temperature(pneumonia.weights, pneumonia.read(changed.pop("names", ["inference"]), **changed))
