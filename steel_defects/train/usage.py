"""How much memory a training needs."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager

import psutil
import torch


class PeakMemory(AbstractContextManager):
    """The greatest memory in use while this context is open.

    On a GPU it is what PyTorch had allocated there. On a CPU it is the resident memory of this process, without its
    loaders' workers, looked at twenty times a second: what the system keeps as the peak would be that of all jobs a
    process ever did.

    Args:
        device: the device that the work runs on.

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

    def __exit__(self, *_: object) -> None:
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
