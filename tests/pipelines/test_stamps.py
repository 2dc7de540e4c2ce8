"""Files and folders that change have another stamp."""

from __future__ import annotations

import os

import pytest

from pipelines.stamps import stamp_of


def test_of_a_file_size_and_time_tell(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"12")
    os.utime(file, ns=(5, 7))
    assert stamp_of(file) == [2, 7]
    with pytest.raises(FileNotFoundError):
        stamp_of(tmp_path / "gone")


def test_of_a_folder_each_file_tells_whatever_the_folders_own_time(tmp_path):
    series = tmp_path / "series"
    (series / "inner").mkdir(parents=True)
    for name in ("b", "a", "inner/c"):
        (series / name).write_bytes(b"12")
        os.utime(series / name, ns=(5, 7))
    assert stamp_of(series) == [["a", 2, 7], ["b", 2, 7], ["inner", ["c", 2, 7]]]
    (series / "a").write_bytes(b"345")
    os.utime(series / "a", ns=(5, 7))
    os.utime(series, ns=(1, 1))
    assert stamp_of(series)[0] == ["a", 3, 7]
