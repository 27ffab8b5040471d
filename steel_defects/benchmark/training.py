"""How fast a net is trained: forward, loss, backward and the optimiser's step on one batch that is there already."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from steel_defects.benchmark.rows import RATIO_TO, TRAIN, Row
from steel_defects.benchmark.settings import TrainingSettings
from steel_defects.benchmark.systems import System
from steel_defects.benchmark.timing import in_rounds, ratios, reason
from steel_defects.core.machine import device_name

# Training on a GPU is fp16 unless told otherwise.
PRECISIONS = {"cpu": ("fp32", "bf16"), "cuda": ("fp16",)}
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Training:
    """A net, its optimiser and a random batch on their device.

    Args:
        system: the net and how it is trained.
        size: (height, width) in pixels.
        batch_size: number of images.
        device: `cpu` or `cuda`.
    """

    def __init__(self, system: System, size: tuple[int, int], batch_size: int, device: str) -> None:
        self.device = torch.device(device)
        self.module = system.module(size).to(self.device).train()
        if system.settings.trainer.channels_last:
            self.module.net.to(memory_format=torch.channels_last)
        # All that the module asks of its trainer: how long the learning rate is to fall.
        self.module.trainer = SimpleNamespace(estimated_stepping_batches=10_000)  # type: ignore[assignment]  # a stand-in
        self.optimizer = self.module.configure_optimizers()["optimizer"]
        self.scaler = torch.amp.GradScaler(device, enabled=device == "cuda")
        draw = torch.Generator().manual_seed(0)
        shape = (batch_size, 1, *size)
        self.images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw).to(self.device)
        masks = torch.randint(0, len(system.settings.data.classes) + 1, shape, dtype=torch.uint8, generator=draw)
        self.masks = masks[:, 0].to(self.device)

    def step(self, precision: str) -> None:
        """One step at a precision of `PRECISIONS`."""
        self.optimizer.zero_grad()
        dtype = _DTYPES[precision]
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            loss = self.module.loss(self.module(self.images).float(), self.masks)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def rate(self, precision: str, steps: int) -> float:
        """Steps a second of so many in a row."""
        self._finish()
        started = time.perf_counter()
        for _ in range(steps):
            self.step(precision)
        self._finish()
        return steps / (time.perf_counter() - started)

    def _finish(self) -> None:
        """Wait for what a GPU has yet to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def measure_training(
    system: System, settings: TrainingSettings, threads: int, tell: Callable[[str], None]
) -> list[Row]:
    """A row for each precision that the device trains at.

    Args:
        system: the net and how it is trained.
        settings: its steps are measured one by one on a CPU, where precisions take turns; on a GPU, 20 at a time.
        threads: threads of the CPU.
        tell: function called with what is being measured.
    """
    size, steps = settings.size, settings.steps
    device = "cuda" if torch.cuda.is_available() else "cpu"
    about: dict[str, Any] = {
        "device": device_name(torch.device(device)),
        "threads": threads if device == "cpu" else None,
    }
    torch.set_num_threads(threads)
    together = 20 if device == "cuda" else 1
    try:
        training = Training(system, size, settings.batch_size, device)
    except Exception as error:
        return [Row(system.name, size, p, TRAIN, note=reason(error), **about) for p in PRECISIONS[device]]
    measures = {p: lambda p=p: training.rate(p, together) for p in PRECISIONS[device]}
    _, faults = in_rounds(measures, 1, lambda p, _: tell(f"training {p}, warm-up"))
    fit = {p: measure for p, measure in measures.items() if p not in faults}
    values, later = in_rounds(fit, steps, lambda p, i: tell(f"training {p}, step {i + 1}/{steps}"))
    faults |= later
    rows = []
    for p in PRECISIONS[device]:
        numbers = values.get(p, [])
        shares = ratios(numbers, values.get(RATIO_TO[TRAIN])) if numbers else []
        rows.append(Row(system.name, size, p, TRAIN, numbers, shares, note=faults.get(p, ""), **about))
    return rows
