"""Packaged bundles: unpacked, they run alone; the same bytes each time; what cannot be passed on is not packaged."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import zipfile
from importlib.metadata import distribution

import pytest
import torch
from packaging.requirements import Requirement
from PIL import Image

from pipelines.sharing import package as packaging
from pipelines.sharing.archive import read_package
from tests.conftest import ROOT
from tests.pipelines.sharing.conftest import Runs, packaged, refusal
from tests.running import BUNDLES
from tests.running import small as small_settings

SMALL = [str(part) for key, value in small_settings("lungs").items() for part in (f"--{key}", value)]
PHANTOMS = ["--phantoms#patients", "12", "--phantoms#size", "64", "--epochs", "1"]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Each bundle, packaged by the README's command."""
    folder = tmp_path_factory.mktemp("packages")
    for bundle in BUNDLES:
        assert packaged(ROOT / "bundles" / bundle, folder / f"{bundle}.zip")
    return folder


def alone(folder, site, *arguments):
    """Run Python in a folder with the packages in ``site`` and nothing else: no site-packages, so not this project."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment |= {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    arguments = [sys.executable, "-S", *map(str, arguments)]
    result = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


def only_what_the_metadata_require(folder, metadata):
    """Links to the installed files of the required packages, and of what these require themselves."""
    folder.mkdir()
    waiting, done = ["torch", "monai", "numpy", *metadata["required_packages_version"]], set()
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in done:
            continue
        done.add(name)
        package = distribution(name)
        for top in {file.parts[0] for file in package.files} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(package.locate_file(top))
        requirements = map(Requirement, package.requires or [])
        waiting += [r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    return folder


@pytest.mark.slow
def test_an_unpacked_bundle_trains_evaluates_and_predicts_with_its_required_packages_alone(packages, tmp_path):
    with zipfile.ZipFile(packages / "lungs.zip") as archive:
        archive.extractall(tmp_path)
    lungs = tmp_path / "lungs"
    site = only_what_the_metadata_require(tmp_path / "site", json.loads((lungs / "configs/metadata.json").read_text()))
    run = ["-m", "monai.bundle", "run"]
    alone(lungs, site, *run, "training", "--config_file", "configs/train.json", *SMALL, *PHANTOMS)
    files = ["--config_file", "['configs/train.json','configs/evaluate.json']"]
    alone(lungs, site, *run, "evaluating", *files, *SMALL, *PHANTOMS)
    assert (lungs / "eval" / "test" / "metrics.json").is_file()
    alone(lungs, site, *run, "--config_file", "configs/inference.json", "--output_dir", tmp_path / "out", *SMALL)
    masks = sorted((tmp_path / "out").glob("*_mask.png"))
    assert len(masks) == 12 and Image.open(masks[0]).size == (64, 64)
    # what was trained there is packaged in its turn
    again = packaged(lungs, tmp_path / "again.zip")
    held = read_package(again)
    assert held.bundle == "lungs"
    trained = hashlib.sha256((lungs / "models" / "model.pt").read_bytes()).hexdigest()
    assert held.checksums["models/model.pt"] == trained
    with zipfile.ZipFile(again) as archive:
        assert trained in archive.read("lungs/sbom.cdx.json").decode()
    first = read_package(packages / "lungs.zip").checksums
    untouched = {name: sha256 for name, sha256 in first.items() if not name.startswith(("models/", "sbom"))}
    assert {name: held.checksums[name] for name in untouched} == untouched


ALL_NAMES = """
import json, pathlib, pipelines, pydoc, re, sys
for path in pathlib.Path("configs").glob("*.json"):
    for name in re.findall(r"\\b(?:networks|pipelines|transforms)[.][.\\w]+", path.read_text()):
        assert pydoc.locate(name) is not None, name
for name in pipelines.__all__:  # what other bundles' configurations may name
    getattr(pipelines, name)
for name, module in list(sys.modules.items()):
    if name.partition(".")[0] in ("networks", "pipelines", "transforms"):
        print(pathlib.Path(module.__file__).relative_to(pathlib.Path.cwd()))
"""


@pytest.mark.slow
def test_a_package_holds_the_python_that_configurations_load_and_no_more(packages, tmp_path):
    """By loading it, where the packaging goes by its source."""
    with zipfile.ZipFile(packages / "abdomen.zip") as archive:
        archive.extractall(tmp_path)
    abdomen = tmp_path / "abdomen"
    metadata = json.loads((abdomen / "configs" / "metadata.json").read_text())
    site = only_what_the_metadata_require(tmp_path / "site", metadata)
    loaded = set(alone(abdomen, site, "-c", ALL_NAMES).split())
    assert loaded == {str(path.relative_to(abdomen)) for path in abdomen.rglob("*.py")}
    assert not {name for name in loaded if name.startswith(("pipelines/__main__", "pipelines/commands/"))}


def test_imports_are_followed_through_inner_packages(tmp_path):
    tree = {
        "pipelines/__init__.py": "",
        "pipelines/bundle.py": "import json, monai.bundle",
        "pipelines/training/__init__.py": '"""Only a docstring."""',
        "pipelines/training/log.py": "from ..bundle import Bundle\nfrom . import curves\nfrom transforms import Error",
        "pipelines/training/curves.py": "from ..evaluation.inner import pictures as drawn\nimport networks.unet",
        "pipelines/training/unused.py": "import pandas",
        "pipelines/evaluation/inner/pictures.py": "def f():\n    from ... import manifest\n    import scipy.ndimage",
        "pipelines/evaluation/inner/__init__.py": "",
        "pipelines/evaluation/__init__.py": "",
        "pipelines/manifest.py": "from ignite import distributed",
        "pipelines/commands/__init__.py": "",
        "pipelines/commands/train.py": "from ..training.log import Log\nimport fire",
        "networks/__init__.py": "",
        "networks/unet.py": "",
        "transforms/__init__.py": "from .errors import *",
        "transforms/errors.py": "",
    }
    for name, text in tree.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    files, imported = packaging.import_closure(["pipelines.training.log"], tmp_path)
    unused = {name for name in tree if "unused" in name or "commands" in name}
    assert {name: text.decode() for name, text in files.items()} == {n: t for n, t in tree.items() if n not in unused}
    assert imported == {"monai", "scipy", "ignite"}


@pytest.mark.parametrize("bundle", BUNDLES)
def test_packages_pass_their_own_check_and_change_nothing_but_the_root(packages, bundle):
    held = read_package(packages / f"{bundle}.zip")
    with zipfile.ZipFile(packages / f"{bundle}.zip") as archive:
        for path in (ROOT / "bundles" / bundle / "configs").iterdir():
            inside = archive.read(f"{bundle}/configs/{path.name}").decode()
            assert inside == path.read_text().replace(f'"bundle_root": "bundles/{bundle}"', '"bundle_root": "."')
        for link in ("README.md", "data_manifests/README.md"):
            assert f"]({'../'}{link})" in archive.read(f"{bundle}/docs/README.md").decode() and link in held.checksums


def test_made_twice_the_bytes_are_the_same(small, tmp_path):
    first = packaged(small, tmp_path / "first.zip").read_bytes()
    for path in small.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    moved = small.rename(tmp_path / "small")
    assert packaged(moved, tmp_path / "later" / "second.zip").read_bytes() == first
    (moved / "docs" / "README.md").write_text("changed")
    assert packaged(moved, tmp_path / "third.zip").read_bytes() != first


def test_only_what_belongs_to_a_bundle_is_packaged(small, tmp_path):
    others = {"eval/images.csv", "cache/1.pt", "phantoms/manifest.json", "models/last_epoch.pt", "configs/.hidden.json"}
    for name in others:
        (small / name).parent.mkdir(exist_ok=True)
        (small / name).write_text("private")
    held = set(read_package(packaged(small, tmp_path / "small.zip")).checksums)
    assert {"LICENSE", "models/model.pt", "docs/data_license.txt", "data_manifests/manifest.schema.json"} <= held
    assert not held & others and not any("images.csv" in name for name in held)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("LICENSE", None, "LICENSE: no such file"),
        ("models/model.pt", {"optimizer": {"lr": 0.1}}, "model.pt: holds more than tensors"),
        ("models/model.pt", {"weight": Runs()}, "model.pt: is no state dict that can be loaded without running code"),
        ("models/model.pt", b"weights", "model.pt: is no state dict"),
        ("configs/more.pkl", pickle.dumps([1]), "more.pkl: is of no kind that a packaged bundle may hold"),
        ("configs/notes.txt", pickle.dumps([1]), "notes.txt: is not the text that its name says"),
        ("configs/look.py", b"", "look.py: is Python outside networks, pipelines, transforms"),
        ("configs/a b.txt", b"", "a b.txt: has another name than of letters"),
        ("configs/train.json", b"{", "train.json: is not the text that its name says"),
        ("configs/train.json", b'{"a": {"bundle_root": "x"}, "bundle_root": "y"}', 'set "bundle_root" to a plain path'),
    ],
)
def test_what_cannot_be_packaged(small, tmp_path, capsys, name, content, message):
    if content is None:
        (small / name).unlink()
    elif isinstance(content, bytes):
        (small / name).write_bytes(content)
    else:
        torch.save(content, small / name)
    error = refusal(["package", small, "--out", tmp_path / "small.zip"], capsys)
    assert message in error and "was run" not in error and not (tmp_path / "small.zip").exists()


def test_a_required_package_that_the_metadata_lack(small, tmp_path, capsys):
    path = small / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    del metadata["required_packages_version"]["scikit-learn"], metadata["required_packages_version"]["pydicom"]
    path.write_text(json.dumps(metadata))
    error = refusal(["package", small, "--out", tmp_path / "small.zip"], capsys)
    assert "required_packages_version lacks pydicom, sklearn" in error
