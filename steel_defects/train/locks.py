"""What jobs of a sweep that run at the same time must not share: a run folder, a GPU."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from steel_defects.core.errors import UserError

log = logging.getLogger(__name__)


class Taken(UserError):
    """Another process has it."""


@contextmanager
def sole(folder: Path) -> Iterator[None]:
    """Have a folder alone; the lock goes with the process, however that ends.

    Raises:
        Taken: where another process has it: the same job started twice.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Taken(f"another process is at work on {folder}, with the very same settings") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def one_gpu(folder: Path, count: int, poll: float = 1.0) -> Iterator[int]:
    """Have one of this machine's GPUs to oneself among the jobs of a sweep; wait until one is free.

    Launchers that start several jobs on a machine (joblib) show all GPUs to each of them; those that hand GPUs out
    (Ray, Slurm) show each job its own, and then there is nothing to wait for.

    Args:
        folder: folder of the sweep.
        count: number of the GPUs that this process sees.
        poll: seconds between two looks.

    Yields:
        The GPU's number among those that this process sees.
    """
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    names = visible if len(visible) == count else [str(i) for i in range(count)]
    locks = [FileLock(folder / f".gpu-{platform.node()}-{name}.lock") for name in names]
    announced = False
    while True:
        for i, lock in enumerate(locks):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                yield i
            finally:
                lock.release()
            return
        if not announced:
            log.info("All %d GPUs are at work for other jobs of this sweep: waiting", count)
            announced = True
        time.sleep(poll)
