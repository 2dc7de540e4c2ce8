"""Signals wait for the end of a step, and a second one does not."""

from __future__ import annotations

import logging
import os
import signal
import threading

import pytest

from pipelines.stopping import Steps, Stopped

pytestmark = pytest.mark.usefixtures("interrupts")

BOTH = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]


@pytest.mark.parametrize(("number", "code"), BOTH, ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_the_run_at_the_next_step(number, code, capfd):
    before, done = signal.getsignal(number), []
    with pytest.raises(Stopped) as caught:  # noqa: PT012  # where it ends is what is tested
        for item in Steps().each("abc"):
            if item == "b":
                signal.raise_signal(number)
            done.append(item)
    assert done == ["a", "b"] and caught.value.code == code
    assert capfd.readouterr().err == f"{number.name}: stopping at the next step; another signal ends the run at once\n"
    assert signal.getsignal(number) is before and logging.root.isEnabledFor(logging.CRITICAL)


def test_without_a_signal_nothing_happens():
    before = signal.getsignal(signal.SIGTERM)
    assert list(Steps().each("abc")) == ["a", "b", "c"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_error_puts_the_handlers_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyError), Steps():
        raise KeyError
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(("number", "_"), BOTH, ids=["SIGTERM", "SIGINT"])
def test_a_second_signal_ends_the_process_at_once(number, _):
    process = os.fork()
    if process == 0:
        with Steps():
            signal.raise_signal(number)
            signal.raise_signal(number)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(process, 0)[1]) == number


@pytest.mark.parametrize(("number", "ends"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
def test_workers_do_not_wait_for_a_step(number, ends):
    """They have none: they are ended by SIGTERM, and Ctrl-C in the terminal is for their parent."""
    with Steps():
        process = os.fork()
        if process == 0:
            signal.raise_signal(number)
            os._exit(7)
        status = os.waitpid(process, 0)[1]
    assert os.WTERMSIG(status) == number if ends else os.WEXITSTATUS(status) == 7


def test_handlers_of_others_and_ignored_signals_stay(monkeypatch):
    heard = []
    own = signal.signal(signal.SIGTERM, lambda *_: heard.append("own"))
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as below nohup
    try:
        with Steps() as steps:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            steps.check()
    finally:
        signal.signal(signal.SIGTERM, own)
        signal.signal(signal.SIGINT, ignored)
    assert heard == ["own"]


def test_outside_of_the_main_thread_it_does_nothing():
    """Where Python allows no handlers, as in a server."""
    done = []
    thread = threading.Thread(target=lambda: done.extend(Steps().each("abc")))
    thread.start()
    thread.join()
    assert done == ["a", "b", "c"]
