"""Files are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from transforms import DataError, DiskError
from transforms.files.atomic import HOST, atomic_path, atomic_write, remove_unfinished, set_aside


@pytest.fixture
def umask():
    """Sets the mask for new files, and puts the old one back afterwards."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def test_the_old_file_stays_until_the_block_ends(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("old")
    with atomic_write(path) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["metrics.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "metrics.json"
    path.write_text("old")
    with pytest.raises(error), atomic_write(path) as file:  # noqa: PT012  # the block is what is tested
        file.write("half of the n")
        raise error
    with pytest.raises(error), atomic_path(tmp_path / "never.png") as scratch:  # noqa: PT012
        scratch.write_bytes(b"half")
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["metrics.json"]


def test_a_block_that_leaves_no_file_is_an_error_and_keeps_the_old_one(tmp_path):
    path = tmp_path / "mask.png"
    path.write_text("old")
    with pytest.raises(DataError, match=r"mask.png: cannot be written \(No such file"), atomic_path(path) as scratch:
        scratch.unlink()
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["mask.png"]


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("a_mask.png", ".png"),
        ("a_mask.nii.gz", ".nii.gz"),  # nibabel compresses by the ending
        ("1.2.840.113619.7", ".7"),
        ("1.2.840.113619.7_mask.nii.gz", ".nii.gz"),
        ("no_extension", ""),
    ],
)
def test_the_scratch_file_ends_alike_and_is_hidden_beside_its_place(tmp_path, name, ending):
    with atomic_path(tmp_path / name) as scratch:
        assert scratch.parent == tmp_path and scratch.name.startswith(".") and scratch.name.endswith(ending)
        scratch.write_text("content")
    assert os.listdir(tmp_path) == [name] and (tmp_path / name).read_text() == "content"


def test_missing_folders_are_made(tmp_path):
    with atomic_write(tmp_path / "a" / "b" / "c.txt") as file:
        file.write("content")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "content"


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_who_may_read_is_as_the_umask_says(tmp_path, umask, mask, mode):
    umask(mask)
    with atomic_write(tmp_path / "a.csv") as file:
        file.write("1,2")
    assert (tmp_path / "a.csv").stat().st_mode & 0o777 == mode
    assert umask(mask) == mask  # and the mask itself is as it was


@pytest.fixture
def small_disk():
    """No file can grow beyond 50 kB, as on a disk that is full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_text(path):
    with atomic_write(path) as file:
        file.write("x" * 100_000)


def write_tensors(path):
    with atomic_write(path, "wb") as file:
        torch.save({"weight": torch.zeros(100_000)}, file)


def write_array(path):
    with atomic_path(path) as scratch:
        np.save(scratch, np.zeros(100_000))


@pytest.mark.parametrize(
    ("write", "error", "reason"),
    [
        (write_text, DiskError, "File too large"),
        (write_tensors, DiskError, "File too large"),
        (write_array, DataError, "100000 requested"),  # NumPy keeps the reason to itself
    ],
)
def test_a_full_disk_is_told_with_the_file_and_keeps_the_old_one(tmp_path, small_disk, write, error, reason):
    path = tmp_path / "model.npy"
    path.write_text("old")
    with pytest.raises(error, match=rf"model.npy: cannot be written \({reason}.*What was there before is kept"):
        write(path)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["model.npy"]


def test_an_error_that_is_none_of_the_file_s_stays_what_it_is(tmp_path):
    with pytest.raises(RuntimeError, match="ours"), atomic_write(tmp_path / "a.txt"):
        raise RuntimeError("ours")


@pytest.mark.parametrize("before", [False, True])
def test_a_folder_that_is_removed_meanwhile_is_told(tmp_path, before):
    """Before, it is made again."""
    path = tmp_path / "out" / "a.txt"
    (tmp_path / "out").mkdir()
    if before:
        shutil.rmtree(tmp_path / "out")
        with atomic_write(path) as file:
            file.write("new")
        assert path.read_text() == "new"
        return
    with pytest.raises(DataError, match="a.txt: cannot be written"), atomic_write(path):
        shutil.rmtree(tmp_path / "out")


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import types
package = types.ModuleType("transforms"); package.__path__ = [sys.argv[1] + "/transforms"]  # without torch and MONAI
sys.modules["transforms"] = package
from transforms.files.atomic import atomic_write
with atomic_write(sys.argv[2] + "/masks/a_mask.png") as file:
    file.write("half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path, request):
    subprocess.run([sys.executable, "-c", KILLED, str(request.config.rootpath), str(tmp_path)])
    (left,) = os.listdir(tmp_path / "masks")
    assert left.startswith(".unfinished") and left.endswith(".png")
    gone = int(left.split("-")[2])
    kept = [
        f".unfinished-{HOST}-1-running.pt",  # a process that is there
        f".unfinished-00000000-{gone}-elsewhere.pt",  # another host's
        f"unfinished-{HOST}-{gone}-visible.pt",
        f".unfinished-{HOST}-{gone}",
        ".tmpabc.pt",
        "model.pt",
    ]
    for name in kept:
        (tmp_path / name).write_text("")
    with atomic_write(tmp_path / "mine.txt"):
        remove_unfinished([tmp_path])
        assert len(os.listdir(tmp_path)) == len(kept) + 2
    assert os.listdir(tmp_path / "masks") == []
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "mine.txt", "masks"])


def test_files_set_aside_stay_and_are_numbered_together(tmp_path):
    model, about = tmp_path / "model.pt", tmp_path / "model.json"
    for number, name in enumerate(["model.previous", "model.previous2", "model.previous3"]):
        with atomic_write(model) as file:
            file.write(f"weights {number}")
        about.unlink(missing_ok=True)
        if number != 1:
            about.write_text(f"about {number}")
        set_aside(model, about)
        assert model.read_text() == (tmp_path / f"{name}.pt").read_text() == f"weights {number}"
        assert (tmp_path / f"{name}.json").exists() == (number != 1)
    assert (tmp_path / "model.previous3.json").read_text() == "about 2"


def test_what_is_aside_already_is_not_kept_twice(tmp_path):
    """A run that was killed between the two files goes on where it was."""
    model, about = tmp_path / "model.pt", tmp_path / "model.json"
    model.write_text("weights")
    about.write_text("about")
    set_aside(model)
    set_aside(model, about)
    set_aside(tmp_path / "none.pt")
    assert sorted(os.listdir(tmp_path)) == ["model.json", "model.previous.json", "model.previous.pt", "model.pt"]
    assert (tmp_path / "model.previous.json").read_text() == "about"


def test_without_hard_links_there_is_a_copy(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "model.pt").write_text("weights")
    set_aside(tmp_path / "model.pt")
    assert (tmp_path / "model.previous.pt").read_text() == (tmp_path / "model.pt").read_text() == "weights"
    assert not (tmp_path / "model.previous.pt").samefile(tmp_path / "model.pt")
