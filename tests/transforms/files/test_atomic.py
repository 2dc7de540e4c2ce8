"""Files are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import os

import pytest

from transforms.files.atomic import atomic_path, atomic_write


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
    with pytest.raises(FileNotFoundError), atomic_path(path) as scratch:
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
