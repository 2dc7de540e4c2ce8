"""Stages that run at the same time: the order, how much is under way, what is done when something goes wrong."""

from __future__ import annotations

import threading

import pytest

from pipelines.engines.flow import cores, flow


class Counted:
    """Items that are counted while they are under way."""

    def __init__(self, total, fault_at=None):
        self.total, self.fault_at, self.now, self.most, self.batches = total, fault_at, 0, 0, []

    def __iter__(self):
        for number in range(self.total):
            if number == self.fault_at:
                raise KeyboardInterrupt
            self.now += 1
            self.most = max(self.most, self.now)
            yield number

    def compute(self, batch):
        self.batches.append(len(batch))
        return [10 * number for number in batch]


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_items_come_back_in_their_order_and_few_are_under_way(workers, batch_size):
    items = Counted(50)
    given = []
    for item, written in flow(items, lambda number: number + 1, items.compute, str, workers, batch_size):
        items.now -= 1
        given.append((item, written))
    assert given == [(number, str(10 * (number + 1))) for number in range(50)]
    assert items.most <= 4 * batch_size
    assert sum(items.batches) == 50 and items.batches[0] == batch_size == max(items.batches)


def test_reading_and_writing_go_on_at_the_same_time():
    """Each of two items waits for the other one: one thread alone would wait for ever."""
    both = threading.Barrier(2, timeout=20)

    def wait(number):
        both.wait()
        return number

    assert list(flow(range(4), wait, list, wait, workers=2, batch_size=2)) == [(n, n) for n in range(4)]


def test_what_was_taken_is_done_when_there_are_no_more_for_a_fault():
    items, given = Counted(50, fault_at=7), []
    with pytest.raises(KeyboardInterrupt):
        given.extend(flow(items, int, items.compute, str, workers=2, batch_size=3))
    assert [item for item, _ in given] == list(range(7))


@pytest.mark.parametrize("stage", ["read", "compute", "write"])
def test_a_fault_in_a_stage_ends_it(stage):
    def fault(given):
        if given == 3 or (isinstance(given, list) and 3 in given):
            raise OSError("disk full")
        return given

    stages = {"read": int, "compute": list, "write": int, stage: fault}
    given, before = [], threading.active_count()
    with pytest.raises(OSError, match="disk full"):
        given.extend(flow(range(50), *stages.values(), workers=2, batch_size=2))
    assert [item for item, _ in given] == list(range(len(given))) and len(given) <= 3
    assert threading.active_count() == before


def test_nothing_is_nothing():
    assert list(flow([], int, list, int, workers=1, batch_size=1)) == []
    assert cores() >= 1
