"""One run at a time in a folder, and no lock that outlives its process."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
from types import SimpleNamespace

import pytest

from tests.running import held_by_another
from transforms import DataError
from transforms.files import lock
from transforms.files.lock import locked


def locking(file, mode, length):
    """What msvcrt's does to the bytes from where the file stands."""
    assert mode == 2
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, 0, os.SEEK_CUR)


@pytest.fixture(params=["posix", "windows"], autouse=True)
def system(request, monkeypatch):
    """Both ways to lock a file; the second one by what is here."""
    if request.param == "windows":
        monkeypatch.setattr(lock, "fcntl", None)
        monkeypatch.setattr(lock, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=locking), raising=False)


@pytest.fixture
def holder(tmp_path):
    """The number of another process that holds the lock of ``tmp_path / "out"``."""
    with held_by_another(tmp_path / "out") as process:
        yield process


def test_a_second_run_is_told_who_holds_the_folder(tmp_path, holder):
    about = json.loads((tmp_path / "out" / ".lock").read_text())
    assert about.keys() == {"host", "process", "since"}  # and no name of a user
    with pytest.raises(DataError) as caught, locked(tmp_path / "out"):
        pytest.fail("two hold it")
    said = f"process {holder} on {socket.gethostname()}, since {about['since']}. Wait for it"
    assert f"{tmp_path / 'out'}: another run is writing there: " in str(caught.value) and said in str(caught.value)
    assert json.loads((tmp_path / "out" / ".lock").read_text()) == about


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, holder, caplog):
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    assert (tmp_path / "out" / ".lock").is_file()
    with caplog.at_level("INFO"), locked(tmp_path / "out"):
        assert json.loads((tmp_path / "out" / ".lock").read_text())["process"] == os.getpid()
    assert f"took over from a run that did not end in good order: process {holder}" in caplog.text
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"{}", b'{"host": "a", "process": "b"}', b'{"host": "a"'])
def test_a_file_that_says_nothing_is_taken_over(tmp_path, content):
    (tmp_path / ".lock").write_bytes(content)
    with locked(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["process"] == os.getpid()


def test_it_is_let_go_of_on_errors_too(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / "new"):
        raise KeyError
    assert os.listdir(tmp_path / "new") == []


def test_the_process_that_holds_it_goes_on(tmp_path):
    with locked(tmp_path), locked(tmp_path / "." / ".." / tmp_path.name):
        assert os.listdir(tmp_path) == [".lock"]


def test_a_folder_that_is_removed_meanwhile(tmp_path):
    with locked(tmp_path / "out"):
        (tmp_path / "out" / ".lock").unlink()
        (tmp_path / "out").rmdir()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be locked"), locked(tmp_path / "file" / "out"):
        pytest.fail("it is none")
