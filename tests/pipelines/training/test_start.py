"""What is checked before anything is computed."""

from __future__ import annotations

import sys

import pytest

from pipelines import start
from tests.conftest import ROOT
from tests.running import BUNDLES
from transforms import DataError


@pytest.fixture(autouse=True)
def hook(monkeypatch):
    """What shows errors is put back after each test."""
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)


@pytest.mark.parametrize("name", BUNDLES)
def test_folders_are_made_and_left_empty(tmp_path, name):
    folders = [tmp_path / "models", tmp_path / "deep" / "eval"]
    start(ROOT / "bundles" / name, folders)
    assert [list(folder.iterdir()) for folder in folders] == [[], []]


def test_a_wrong_root_is_told_before_a_folder_is_made(tmp_path):
    with pytest.raises(DataError, match=r"lung: is not a bundle.*holds bundles/, or give.*--bundle_root"):
        start(tmp_path / "lung", [tmp_path / "lung" / "models"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="file/models: cannot be written to"):
        start(ROOT / "bundles" / "lungs", [tmp_path / "eval", tmp_path / "file" / "models"])


def test_from_here_on_a_user_s_error_is_one_line(tmp_path, capsys):
    start(ROOT / "bundles" / "lungs", [])
    wrapped = RuntimeError("what MONAI says of it")
    wrapped.__cause__ = DataError("image.dcm: is cut short. Copy it again.")
    sys.excepthook(RuntimeError, wrapped, None)
    assert capsys.readouterr().err == "error: image.dcm: is cut short. Copy it again.\n"
    sys.excepthook(KeyError, KeyError("ours"), None)
    assert "KeyError: 'ours'" in capsys.readouterr().err


def test_one_of_several_processes_must_have_been_started_as_such(tmp_path):
    with pytest.raises(DataError, match="Start them with torchrun"):
        start(ROOT / "bundles" / "lungs", [tmp_path], join=True)
