"""Many items through threads: order, how many are under way, and how it ends."""

from __future__ import annotations

import threading
import time

import pytest

from steel_defects.inference.stream import ordered_map


class Source:
    """Counts what is taken of it."""

    def __init__(self, count: int) -> None:
        self.count, self.taken = count, 0

    def __iter__(self):
        for i in range(self.count):
            self.taken += 1
            yield i


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_order_is_that_of_the_items(workers, count):
    def slow_at_first(i: int) -> int:
        time.sleep(0.004 / (1 + i % 4))
        return i * i

    assert list(ordered_map(slow_at_first, range(count), workers)) == [i * i for i in range(count)]


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_is_taken_than_there_is_room_for(workers):
    source = Source(100)
    results = ordered_map(lambda i: i, source, workers)
    assert source.taken == 0, "before anything is asked for"
    for asked in range(1, 101):
        next(results)
        assert source.taken <= asked - 1 + 2 * workers
    assert source.taken == 100


def test_workers_run_side_by_side():
    barrier = threading.Barrier(3, timeout=20)
    assert len(set(ordered_map(lambda _: (barrier.wait(), threading.get_ident())[1], range(3), 3))) == 3


def test_an_exception_comes_in_its_turn():
    def fail_at_five(i: int) -> int:
        if i == 5:
            raise ValueError("five")
        time.sleep(0.002)
        return i

    results = ordered_map(fail_at_five, range(50), 4)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)
    assert next(results, "the end") == "the end"


def test_closing_early_waits_for_what_is_under_way_only():
    started, source, go_on = [], Source(1000), threading.Event()

    def wait_unless_first(i: int) -> None:
        started.append(i)
        assert i == 0 or go_on.wait(20)

    before = threading.active_count()
    results = ordered_map(wait_unless_first, source, 2)
    next(results)
    while len(started) < 3:
        time.sleep(0.001)
    assert source.taken == 4
    threading.Timer(0.05, go_on.set).start()
    results.close()
    assert sorted(started) == [0, 1, 2], "the fourth was taken, and is left undone"
    assert threading.active_count() <= before + 1, "but for the timer"


def test_a_source_that_fails_is_not_swallowed():
    def items():
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        list(ordered_map(lambda i: i, items(), 2))
