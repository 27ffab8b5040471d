"""What a net needs at work: memory, and time for one image."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import psutil
import torch


class PeakMemory(AbstractContextManager):
    """The greatest memory in use while this context is open.

    On a GPU it is what PyTorch had allocated there. On a CPU it is the resident memory of this process, without its
    loaders' workers, looked at twenty times a second: what the system keeps as the peak would be that of all jobs a
    process ever did.

    Args:
        device: that the work runs on.

    Attributes:
        bytes: the peak, once the context is closed.
    """

    INTERVAL = 0.05  # seconds

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bytes = 0

    def __enter__(self) -> PeakMemory:
        if self.device.type == "cuda":
            torch.cuda.init()  # which the reset does not do by itself
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            self._end = threading.Event()
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device)
        else:
            self._end.set()
            self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while True:
            self.bytes = max(self.bytes, process.memory_info().rss)
            if self._end.wait(self.INTERVAL):
                return


@torch.no_grad()
def images_per_second(
    predict: Callable[[torch.Tensor], torch.Tensor],
    size: Sequence[int],
    device: torch.device,
    seconds: float = 2.0,
    least: int = 5,
) -> float:
    """Rate at batch 1 of the net alone: the median of single calls on random images, after two that are not counted.

    Args:
        predict: from grey uint8 [1, 1, H, W] to logits.
        size: (height, width) in pixels.
        device: that `predict` runs on.
        seconds: after which no call is begun.
        least: calls in any case.
    """
    draw = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (1, 1, *size), dtype=torch.uint8, generator=draw).to(device)
    taken: list[float] = []
    begun = time.perf_counter()
    while len(taken) < least + 2 or time.perf_counter() - begun < seconds:
        before = time.perf_counter()
        predict(image)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - before)
    return 1 / statistics.median(taken[2:])
