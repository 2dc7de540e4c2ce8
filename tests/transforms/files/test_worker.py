"""Decoding processes: what ends one, what the rest of the program sees of it, and when they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from transforms import DataError
from transforms.files.worker import Limits, UndecodableError, close_workers, decoded

ONE = [(3,)]  # the shape of what the tasks of the fixture below give
pytestmark = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks processes up in /proc")


@pytest.fixture(autouse=True)
def program(decoder_program):
    """Tasks that do what damaged files make decoders do."""
    decoder_program("""
import os, signal, time
import numpy as np
served = 0

def count(request, given):
    global served
    served += 1
    return {"dtype": "int64", "shape": [3], "order": "C"}, [np.array([os.getpid(), served, len(given)])]

def unless_used(request, given):
    return count(request, given) if served == 0 else os.abort()

def noisy(request, given):
    os.write(1, b"a library's own words")
    os.write(2, b"x" * 100_000)
    return count(request, given)

def without_memory(request, given):
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'")
    os.abort()

def wrong_shape(request, given):
    return {"dtype": "int64", "shape": [10**12], "order": "C"}, [np.zeros(3)]

def wrong_type(request, given):
    return {"dtype": "O", "shape": [3], "order": "C"}, [np.zeros(3)]

decoder.TASKS.update(
    count=count, unless_used=unless_used, noisy=noisy, without_memory=without_memory, wrong_shape=wrong_shape,
    wrong_type=wrong_type, abort=lambda r, g: os.abort(), leave=lambda r, g: os._exit(3),
    sleep=lambda r, g: time.sleep(60), kill=lambda r, g: os.kill(os.getpid(), signal.SIGKILL),
    grow=lambda r, g: count(r, np.empty(3 * 10**9, np.uint8)), refuse=lambda r, g: int("no number"),
)
""")


def ask(task="count", limits=Limits(1, 20), payload=b""):  # noqa: B008
    return decoded(Path("x.dcm"), task, ONE, limits, payload)


def state(pid: int) -> str | None:
    """Of a process: S sleeping, T stopped, Z a zombie; None if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def zombies() -> list[str]:
    """The processes of this one that have ended and were not waited for."""
    children = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
    return [child for some in children for child in some if state(int(child)) == "Z"]


def test_a_process_serves_one_file_after_another():
    first, second = ask(), ask(payload=b"12345")
    assert first[0] == second[0] and second.tolist()[1:] == [first[1] + 1, 5]
    assert first[0] != os.getpid()


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("abort", r"its decoder crashed \(SIGABRT\)"),
        ("leave", r"its decoder crashed \(with exit code 3\)"),
        ("kill", r"its decoder was killed \(SIGKILL\), as a system does that runs out of memory"),
        ("grow", "decoding it needs more than 1 GB. .* memory_gb, 1 now"),
        ("without_memory", "decoding it needs more than 1 GB"),
        ("wrong_shape", r"decodes to an array of shape \(1000000000000,\), not of \(3,\)"),
        ("wrong_type", "decodes to an array"),
    ],
)
def test_what_ends_a_process_is_an_error_that_names_the_file_and_the_next_file_gets_another(task, message):
    before = ask()
    with pytest.raises(DataError, match=f"^x.dcm: {message}"):
        ask(task)
    after = ask()
    assert after[0] != before[0] and after[1] == 1
    assert not zombies()


def test_what_hangs_is_killed_when_its_time_is_over():
    before = ask()
    start = time.monotonic()
    with pytest.raises(DataError, match="x.dcm: its decoder took longer than 0.3 s. .* seconds, 0.3 now"):
        ask("sleep", Limits(1, 0.3))
    assert time.monotonic() - start < 30  # and not the minute that the task sleeps
    assert state(before[0]) is None and ask()[0] != before[0]


def test_a_process_that_does_not_even_read_is_killed_too():
    pid = int(ask()[0])
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(DataError, match="took longer than 0.3 s"):
        ask(limits=Limits(1, 0.3), payload=bytes(10**7))  # more than a pipe holds
    assert state(pid) is None


def test_a_decoder_s_own_error_ends_nothing():
    before = ask()
    with pytest.raises(
        UndecodableError, match="x.dcm: cannot be decoded, it may be damaged .*invalid literal"
    ) as error:
        ask("refuse")
    assert error.value.reason.startswith("invalid literal for int()")
    assert ask()[0] == before[0]


def test_no_file_fails_for_what_an_earlier_one_has_done():
    before = ask()
    assert ask("unless_used")[0] != before[0]


def test_a_process_that_died_between_two_files_is_replaced_unseen():
    pid = int(ask()[0])
    os.kill(pid, signal.SIGKILL)
    while state(pid) not in ("Z", None):
        time.sleep(0.01)
    assert ask()[0] != pid and not zombies()


def test_what_libraries_print_does_not_get_between_the_answers():
    assert ask("noisy")[0] == ask()[0]


def test_threads_share_processes_of_which_there_are_no_more_than_cores():
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda length: ask(payload=bytes(length)), range(100)))
    assert [int(answer[2]) for answer in found] == list(range(100))
    assert len({int(answer[0]) for answer in found}) <= (os.cpu_count() or 1)


def test_limits_are_those_of_each_file():
    with pytest.raises(DataError, match="more than 1 GB"):
        ask("grow")
    assert ask("grow", Limits(8, 20))[2] == 3 * 10**9


def _read_in_child(parent_s, answers):
    answers.put([int(ask()[0]) for _ in range(3)])
    answers.put(state(parent_s))


def test_a_fork_has_processes_of_its_own_and_ends_them():
    parent_s = int(ask()[0])
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=_read_in_child, args=(parent_s, answers))
    child.start()
    (pid, second, third), seen = answers.get(), answers.get()
    child.join()
    assert pid == second == third != parent_s and seen == "S"
    assert state(pid) is None  # waited for, and no zombie
    assert ask().tolist()[:2] == [parent_s, 2]  # which the child has not used


def _be_killed(answers):
    answers.put(int(ask()[0]))
    ThreadPoolExecutor().submit(ask, "sleep", Limits(1, 60))
    os.kill(os.getpid(), signal.SIGKILL)


def test_processes_end_with_a_parent_that_is_killed():
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=_be_killed, args=(answers,))
    child.start()
    pid = answers.get()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    end = time.monotonic() + 20
    while state(pid) not in ("Z", None) and time.monotonic() < end:  # init may be slow to wait for what it inherits
        time.sleep(0.02)
    assert state(pid) in ("Z", None)


def test_closing_ends_them_and_another_file_starts_them():
    pid = int(ask()[0])
    close_workers()
    assert state(pid) is None and ask()[0] != pid


def test_arrays_may_be_large(decoder_program):
    decoder_program("""
import numpy as np
before = {"dtype": "uint16", "shape": [3000, 2000], "order": "F"}
decoder.TASKS["large"] = lambda r, g: (before, [np.arange(6e6).astype("u2")])
""")
    found = decoded(Path("x"), "large", [(3000, 2000)], Limits())
    np.testing.assert_array_equal(found, np.arange(6e6).astype("u2").reshape(2000, 3000).T)
