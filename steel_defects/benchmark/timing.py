"""Timing that a noisy machine can bear: everything once a round, in turn, and ratios formed within a round."""

from __future__ import annotations

import itertools
import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from steel_defects.core.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    """What a call took.

    Args:
        rate: calls a second, of all threads together.
        latency: seconds from the beginning of a call to its end, median.
    """

    rate: float
    latency: float


def time_calls(
    call: Callable[[Any], object],
    items: Sequence,
    workers: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Call something on one item after the other, in several threads, for a while.

    Each thread finishes what it has begun. Its rate is that of its whole calls, and the rates are added up: a thread
    that waits for the others at the end does not count as slow, however long a single call takes.

    Args:
        call: function of an item.
        items: arguments of the calls, taken in turn, again and again; each thread begins with another.
        workers: number of threads; with one, the calls are made in the caller's own.
        seconds: time after which no call is begun; one call is made in any case.
        clock: function that returns seconds.
    """

    def work(first: int) -> list[float]:
        taken: list[float] = []
        begin = last = clock()
        i = first
        while True:
            call(items[i % len(items)])
            i += 1
            now = clock()
            taken.append(now - last)
            last = now
            if now - begin >= seconds:
                return taken

    if workers == 1:
        threads = [work(0)]
    else:
        with ThreadPoolExecutor(workers) as pool:
            threads = list(pool.map(work, range(workers)))
    rate = sum(len(taken) / max(sum(taken), 1e-9) for taken in threads)
    return Timing(rate, statistics.median(itertools.chain(*threads)))


def in_rounds(
    measures: Mapping[str, Callable[[], Any]], rounds: int, tell: Callable[[str, int], None] = lambda name, i: None
) -> tuple[dict[str, list], dict[str, str]]:
    """Measure each thing once a round; each round begins with another, so that none is always the first or the last.

    Args:
        measures: functions to time, by name.
        rounds: number of rounds.
        tell: function called before each with its name and the round.

    Returns:
        What each gave, a value a round; and why those failed that did, which have no values.
    """
    names, faults = list(measures), {}
    values: dict[str, list] = {name: [] for name in names}
    for i in range(rounds):
        begin = i % max(len(names), 1)
        for name in names[begin:] + names[:begin]:
            if name in faults:
                continue
            tell(name, i)
            try:
                values[name].append(measures[name]())
            except Exception as error:  # one engine that fails must not cost the others' numbers
                faults[name] = reason(error)
    return {name: numbers for name, numbers in values.items() if name not in faults}, faults


def ratios(values: Sequence[float], reference: Sequence[float] | None) -> list[float]:
    """Values in units of the reference of the same round; none without one."""
    return [value / other for value, other in zip(values, reference, strict=True)] if reference else []


def reason(error: Exception) -> str:
    """Why something failed, in a line; what is not the user's to mend goes to the log as it is."""
    if isinstance(error, UserError):
        return " ".join(str(error).split())
    log.debug("Not measured:", exc_info=error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
