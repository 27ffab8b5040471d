"""What the machine is and computes in: its cores, its device, the words for precisions."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # commands without PyTorch come here, too
    import torch


# Words for what a net computes in, and Lightning's, which runs of earlier versions wrote down.
LIGHTNING_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def precision_word(precision: str) -> str:
    """One word for one precision, whichever is given.

    Example:
        >>> [precision_word(word) for word in ("bf16-mixed", "32", "fp16", "64-true")]
        ['bf16', 'fp32', 'fp16', '64-true']
    """
    words = {name: word for word, name in LIGHTNING_PRECISIONS.items()} | {"32": "fp32", "16": "fp16"}
    return words.get(precision, precision)


def available_cores() -> int:
    """Cores this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """What the CPU calls itself."""
    try:
        with open("/proc/cpuinfo") as lines:  # noqa: PTH123 (a Linux pseudo-file)
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def device_name(device: torch.device) -> str:
    """What the device calls itself, e.g. `Tesla P100` or the CPU's model."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return cpu_name()
