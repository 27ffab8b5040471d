"""Many images through several threads, in order, with little of them in memory at any time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """Results of `function` in the order of the items, at most `2 * workers` of which are under way.

    An executor's own `map` would take all items at once, and keep all results that nobody has asked for yet.

    Args:
        function: function to run in threads; what it raises is raised here, in its item's turn.
        items: arguments of the calls, taken one by one, as there is room.
        workers: number of threads.
    """
    items = iter(items)
    pool = ThreadPoolExecutor(workers)
    waiting: deque = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C waits for what is under way only
