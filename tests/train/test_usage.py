"""Memory and speed of a net at work."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from steel_defects.inference.timing import images_per_second
from steel_defects.train.usage import PeakMemory

CPU = torch.device("cpu")


def test_the_peak_is_of_the_time_between_alone():
    size = 300 * 2**20
    before = np.ones(size, np.uint8)
    del before
    with PeakMemory(CPU) as calm:
        time.sleep(0.2)
    with PeakMemory(CPU) as busy:
        block = np.ones(size, np.uint8)
        time.sleep(0.2)
        del block
        time.sleep(0.2)
    assert busy.bytes - calm.bytes == pytest.approx(size, rel=0.1)


def test_an_error_ends_the_watch():
    before = threading.active_count()
    with pytest.raises(ValueError, match="inside"), PeakMemory(CPU):
        raise ValueError("inside")
    assert threading.active_count() == before


def test_rate_is_of_single_images_and_without_the_first(monkeypatch):
    """A clock that tells what each call takes: slow at first, then 0.1 s with one that was disturbed."""
    now, shapes = [0.0], []
    costs = iter([9.0, 9.0, 0.1, 0.1, 5.0, 0.1, 0.1, 0.1])

    def predict(image: torch.Tensor) -> torch.Tensor:
        shapes.append((tuple(image.shape), image.dtype))
        now[0] += next(costs)
        return image

    monkeypatch.setattr("steel_defects.inference.timing.time.perf_counter", lambda: now[0])
    assert images_per_second(predict, (64, 96), CPU, seconds=1.0, least=5) == pytest.approx(10)
    assert shapes == [((1, 1, 64, 96), torch.uint8)] * 7
