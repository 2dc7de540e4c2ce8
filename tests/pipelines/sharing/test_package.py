"""Packaged bundles: unpacked, they run alone; the same bytes each time; what was tampered with is refused."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import stat
import subprocess
import sys
import zipfile
from importlib.metadata import distribution

import pytest
import torch
from packaging.requirements import Requirement
from PIL import Image

from pipelines.__main__ import main
from pipelines.sharing import package as packaging
from pipelines.sharing.verify_package import read_package, verify
from tests.conftest import ROOT
from transforms import DataError

BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir())
SMALL = ["--image_size", "32", "--network_def#network#channels", "[4,8]", "--network_def#network#strides", "[2]"]
PHANTOMS = ["--phantoms#patients", "12", "--phantoms#size", "64", "--epochs", "1"]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Each bundle, packaged by the README's command."""
    folder = tmp_path_factory.mktemp("packages")
    for bundle in BUNDLES:
        assert main(["package", str(ROOT / "bundles" / bundle), "--out", str(folder / f"{bundle}.zip")]) == 0
    return folder


def _copy(root):
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
    return _copy(tmp_path / "bundles" / "small")


@pytest.fixture(scope="module")
def small_package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    return packaged(_copy(folder / "small"), folder / "small.zip").read_bytes()


@pytest.fixture
def path(small_package, tmp_path):
    """A packaged bundle, to be tampered with."""
    path = tmp_path / "small.zip"
    path.write_bytes(small_package)
    return path


def packaged(root, out):
    assert main(["package", str(root), "--out", str(out)]) == 0
    return out


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
    first = read_package(packages / "lungs.zip").checksums
    untouched = {name: checksum for name, checksum in first.items() if not name.startswith("models/")}
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
    for name in (
        "eval/images.csv",
        "cache/1.pt",
        "phantoms/manifest.json",
        "models/last_epoch.pt",
        "configs/.hidden.json",
    ):
        (small / name).parent.mkdir(exist_ok=True)
        (small / name).write_text("private")
    held = set(read_package(packaged(small, tmp_path / "small.zip")).checksums)
    assert {"LICENSE", "models/model.pt", "docs/data_license.txt", "data_manifests/manifest.schema.json"} <= held
    assert not held & {"models/last_epoch.pt", "configs/.hidden.json"} and not any(
        "images.csv" in n or "phantoms/" in n for n in held
    )


def test_code_is_listed_and_not_run(small, tmp_path, capsys, caplog):
    path, trap = small / "configs" / "evaluate.json", tmp_path / "run"
    code = f"$open({str(trap)!r}, 'w')"
    config = json.loads(path.read_text())
    config |= {"trap": {"_target_": "os.system", "deep": [0, {"er": code}]}, "other": "%../../x.json::y\u202e"}
    path.write_text(json.dumps(config))
    with open(small / "configs" / "logging.conf", "a") as file:
        file.write("[handler_x]\nclass=os.system\nargs=('x',)\n")
    with caplog.at_level("INFO"):
        held = verify(packaged(small, tmp_path / "small.zip"))
    listed = [
        ("configs/evaluate.json", "trap#_target_", "os.system"),
        ("configs/evaluate.json", "trap#deep#1#er", code),
        ("configs/evaluate.json", "other", "%../../x.json::y\u202e"),
        ("configs/logging.conf", "handler_x#class", "os.system"),
        ("configs/logging.conf", "handler_x#args", "('x',)"),
    ]
    assert set(listed) <= set(held.code) and not trap.exists()
    assert f"trap#deep#1#er: {code}" in caplog.text and "y\\u202e" in caplog.text and "\u202e" not in caplog.text


def test_python_that_is_not_the_projects_is_named(path, caplog):
    def change(name, data):
        return data + b"# more\n" if name == "small/networks/prepare.py" else data

    with caplog.at_level("INFO"):
        verify(rewritten(path, change))
    assert "1 of them not as in this project" in caplog.text and "  networks/prepare.py" in caplog.text


# What cannot be packaged -------------------------------------------------------------------------------------------


def refused(arguments, capsys):
    assert main(list(map(str, arguments))) == 1
    return capsys.readouterr().err


class Runs:
    def __reduce__(self):
        return (print, ("was run",))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("LICENSE", None, "LICENSE: no such file"),
        ("models/model.pt", {"optimizer": {"lr": 0.1}}, "model.pt: holds more than tensors"),
        ("models/model.pt", {"weight": Runs()}, "model.pt: is no state dict that can be loaded without running code"),
        ("models/model.pt", b"weights", "model.pt: is no state dict"),
        ("docs/more.pkl", pickle.dumps([1]), "more.pkl: is of no kind that a packaged bundle may hold"),
        ("docs/notes.txt", pickle.dumps([1]), "notes.txt: is not the text that its name says"),
        ("docs/look.py", b"", "look.py: is Python outside networks, pipelines, transforms"),
        ("docs/a b.txt", b"", "a b.txt: has another name than of letters"),
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
    error = refused(["package", small, "--out", tmp_path / "small.zip"], capsys)
    assert message in error and "was run" not in error and not (tmp_path / "small.zip").exists()


def test_a_required_package_that_the_metadata_lack(small, tmp_path, capsys):
    path = small / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    del metadata["required_packages_version"]["scikit-learn"], metadata["required_packages_version"]["pydicom"]
    path.write_text(json.dumps(metadata))
    error = refused(["package", small, "--out", tmp_path / "small.zip"], capsys)
    assert "required_packages_version lacks pydicom, sklearn" in error


# What is refused of a package --------------------------------------------------------------------------------------


def entry(name, mode=stat.S_IFREG | 0o644):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def rewritten(path, change=lambda name, data: data, more=(), checksums=True):
    """A package with its files changed (None: left out), ``more`` (info, data) added, and checksums that fit."""
    with zipfile.ZipFile(path) as archive:
        files = {name: change(name, archive.read(name)) for name in archive.namelist() if "checksums" not in name}
    held = [(entry(name), data) for name, data in files.items() if data is not None] + list(more)
    if checksums:
        sums = {i.filename.partition("/")[2]: hashlib.sha256(data).hexdigest() for i, data in held}
        held.append((entry("small/checksums.json"), json.dumps(sums).encode()))
    with zipfile.ZipFile(path, "w") as archive:
        for info, data in held:
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


def test_a_rewritten_package_is_accepted_where_all_fits(path):
    assert read_package(path).checksums == read_package(rewritten(path)).checksums


def test_any_changed_byte_is_found(path):
    """Or changes nothing: what is packed in a zip has some bits that mean nothing."""
    first = read_package(path)
    content, messages = path.read_bytes(), []
    for place in [*range(0, len(content), len(content) // 150), *range(len(content) - 400, len(content))]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x20]) + content[place + 1 :])
        try:
            assert read_package(path) == first
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > 500 and all(message.startswith(str(path)) for message in messages)
    for other in (content[:-30], content + b"x", b"x" + content, b"", b"text"):
        path.write_bytes(other)
        with pytest.raises(DataError, match="small.zip"):
            read_package(path)


@pytest.mark.parametrize("name", ["LICENSE", "models/model.pt", "configs/train.json", "transforms/boxes.py"])
def test_a_changed_missing_or_added_file_is_found(small_package, path, name):
    """By someone who knows the format and sets all but the checksums right."""

    def packaged_with(change, more=()):
        path.write_bytes(small_package)
        with zipfile.ZipFile(path) as archive:
            sums = archive.read("small/checksums.json")
        return rewritten(path, change, [*more, (entry("small/checksums.json"), sums)], checksums=False)

    with pytest.raises(DataError, match=f"{name} is not as its checksum says"):
        read_package(packaged_with(lambda n, data: data + b" " if n == f"small/{name}" else data))
    with pytest.raises(DataError, match=f"{name} is only in the package, or only in its checksums"):
        read_package(packaged_with(lambda n, data: None if n == f"small/{name}" else data))
    with pytest.raises(DataError, match="docs/new.txt is only in the package"):
        read_package(packaged_with(lambda n, data: data, [(entry("small/docs/new.txt"), b"")]))


def pickled(value, tmp_path):
    torch.save(value, tmp_path / "value.pt")
    return (tmp_path / "value.pt").read_bytes()


@pytest.mark.parametrize(
    ("name", "mode", "message"),
    [
        ("small/../../evil.txt", stat.S_IFREG, "is a path that leaves the bundle's folder"),
        ("/tmp/evil.txt", stat.S_IFREG, "is a path that leaves the bundle's folder"),
        ("C:/evil.txt", stat.S_IFREG, "is a path that leaves the bundle's folder"),
        ("small\\..\\evil.txt", stat.S_IFREG, "is a path that leaves the bundle's folder"),
        ("small/./evil.txt", stat.S_IFREG, "has another name than of letters"),
        ("small/\x1b[2Kevil.txt", stat.S_IFREG, "has another name than of letters"),
        ("evil.txt", stat.S_IFREG, "lies in no folder"),
        ("other/evil.txt", stat.S_IFREG, "is not one folder"),
        ("small/link.txt", stat.S_IFLNK, "is a link"),
        ("small/docs/", stat.S_IFDIR, "has another name than of letters"),
        ("small/license", stat.S_IFREG, "is of no kind that a packaged bundle may hold"),
        ("small/docs/Readme.md", stat.S_IFREG, "holds a name twice"),
        ("small/docs/README.md", stat.S_IFREG, "holds a name twice"),
        ("small/code.pkl", stat.S_IFREG, "is of no kind that a packaged bundle may hold"),
        ("small/model.ts", stat.S_IFREG, "is of no kind that a packaged bundle may hold"),
        ("small/torch/__init__.py", stat.S_IFREG, "is Python outside"),
        ("small/json.py", stat.S_IFREG, "is Python outside"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_files_that_have_no_place_in_a_package(path, capsys, name, mode, message):
    path = rewritten(path, more=[(entry(name, mode | 0o644), b"")])
    error = refused(["verify", path], capsys)
    assert message in error and error.startswith("error: ") and "\x1b" not in error


def test_weights_that_run_code_are_refused_and_not_run(path, tmp_path, capsys):
    evil = pickled({"weight": Runs()}, tmp_path)
    rewritten(path, lambda name, data: evil if name.endswith(".pt") else data)
    assert main(["verify", str(path)]) == 1
    out, error = capsys.readouterr()
    assert (
        "model.pt: is no state dict that can be loaded without running code" in error and "was run" not in out + error
    )


def test_bytes_beside_the_files_are_refused(small_package, path):
    """Unpackers that read a stream, or extra fields, would write what the directory does not name."""
    hidden = entry("small/hidden.txt")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(hidden, b"x")
        archive.filelist.remove(hidden)  # its bytes stay, its name goes
    with pytest.raises(DataError, match="bytes that python -m pipelines package does not write"):
        read_package(path)
    path.write_bytes(small_package)
    named = entry("small/docs/named.txt")
    named.extra = b"\x75\x70\x02\x00ab"  # a name in Unicode, which some take instead
    with pytest.raises(DataError, match="bytes that python -m pipelines package does not write"):
        read_package(rewritten(path, more=[(named, b"")]))


def test_a_zip_that_would_fill_the_disk_is_refused(path):
    with zipfile.ZipFile(path, "a") as archive:
        for info in archive.filelist[:4]:
            info.file_size = 1 << 30  # as the directory will declare
        archive.writestr(entry("small/docs/x.txt"), b"")
    with pytest.raises(DataError, match="unpacks to more than"):
        read_package(path)
