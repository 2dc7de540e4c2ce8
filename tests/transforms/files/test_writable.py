"""Folders that can be written to, or not."""

from __future__ import annotations

import os

import pytest

from transforms import DataError, check_writable


def test_missing_folders_are_made_and_nothing_is_left_in_them(tmp_path):
    check_writable([tmp_path / "a" / "b", str(tmp_path / "c")])
    assert sorted(os.listdir(tmp_path)) == ["a", "c"] and not os.listdir(tmp_path / "a" / "b")


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_the_folder_that_cannot_be_is_named(tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=rf"{name}: cannot be written to \(.+\). Give another folder"):
        check_writable([tmp_path / "good", tmp_path / name])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(DataError, match=r"locked: cannot be written to \(Permission denied\)"):
        check_writable([tmp_path / "locked"])
