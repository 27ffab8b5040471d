"""How many images a second a net alone takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch


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
        predict: function from grey uint8 [1, 1, H, W] to logits.
        size: (height, width) in pixels.
        device: the device that `predict` runs on.
        seconds: time after which no call is begun.
        least: number of calls made in any case.
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
