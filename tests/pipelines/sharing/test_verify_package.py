"""What is refused of a package, and what is said of its code, without running or unpacking any."""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile

import pytest
import torch

from pipelines.__main__ import main
from pipelines.sharing.verify_package import read_package, verify
from tests.pipelines.sharing.conftest import Runs, packaged, refusal
from transforms import DataError


@pytest.fixture
def path(small_package, tmp_path):
    """A packaged bundle, to be tampered with."""
    path = tmp_path / "small.zip"
    path.write_bytes(small_package)
    return path


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


def test_a_rewritten_package_is_accepted_where_all_fits(path):
    assert read_package(path).checksums == read_package(rewritten(path)).checksums


def test_any_changed_byte_is_found(path):
    """Or changes nothing: what is packed in a zip has some bits that mean nothing."""
    first = read_package(path)
    content, found = path.read_bytes(), 0
    for place in [*range(0, len(content), len(content) // 150), *range(len(content) - 400, len(content))]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x20]) + content[place + 1 :])
        try:
            same = read_package(path) == first
        except DataError as error:
            same = str(error).startswith(str(path))  # which is what is changed
            found += 1
        assert same
    assert found > 500
    for other in (content[:-30], content + b"x", b"x" + content, b"", b"text"):
        path.write_bytes(other)
        with pytest.raises(DataError, match="small.zip"):
            read_package(path)


@pytest.mark.parametrize("name", ["LICENSE", "models/model.pt", "configs/train.json", "transforms/grid/boxes.py"])
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
    error = refusal(["verify", path], capsys)
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
