"""Progress: a bar on a terminal, lines now and then without one, nothing where nothing is wanted."""

from __future__ import annotations

import logging
import os
import pty
import select
import sys
from contextlib import contextmanager

import pytest

from transforms import counted, is_watched, progress, progress_bar


def read_soon(reader: int) -> bytes:
    """What has been written; the system may take a moment to pass it on."""
    return os.read(reader, 65536) if select.select([reader], [], [], 0.5)[0] else b""


@contextmanager
def terminal(monkeypatch):
    """Stderr is a terminal, of a size that it does not say; gives what has been shown on it."""
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        yield lambda: b"".join(iter(lambda: read_soon(reader), b"")).decode()
    os.close(reader)
    monkeypatch.undo()


def test_a_terminal_shows_a_bar(monkeypatch, caplog):
    with terminal(monkeypatch) as shown, caplog.at_level(logging.INFO):
        assert is_watched()
        assert list(progress(iter("abc"), 3, "reading", "file")) == ["a", "b", "c"]
        text = shown()
    assert "reading: 100%" in text and "3/3" in text and "file/s" in text
    assert not caplog.records


def test_a_program_that_wants_no_messages_shows_nothing(monkeypatch, caplog):
    with terminal(monkeypatch) as shown, caplog.at_level(logging.WARNING):
        assert not is_watched()
        assert list(progress("abc", 3, "reading", "file")) == ["a", "b", "c"]
        assert shown() == ""


def test_without_a_terminal_there_are_lines_now_and_then(caplog, capfd, monkeypatch):
    with caplog.at_level(logging.INFO):
        assert list(progress("abc", 3, "reading", "file")) == ["a", "b", "c"]
        assert caplog.messages == []  # it took no time
        monkeypatch.setattr(progress_bar, "EVERY", 0)
        list(progress("abc", 3, "reading", "file"))
        assert caplog.messages == ["reading: 1 of 3 files, 0 s left", "reading: 2 of 3 files, 0 s left"]
        with counted(3, "reading", "file", lines=False) as count:
            count()
    assert len(caplog.messages) == 2 and capfd.readouterr().err == ""


def test_what_goes_wrong_goes_through(monkeypatch, caplog):
    def broken():
        yield "a"
        raise KeyError("b")

    with terminal(monkeypatch), caplog.at_level(logging.INFO), pytest.raises(KeyError):
        list(progress(broken(), 2, "reading", "file"))
