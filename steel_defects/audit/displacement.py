"""Would a mark fit what the nets see better elsewhere? All displacements at once, by their Fourier transforms."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np


class Displacement(NamedTuple):
    """Where a mark fits best.

    Args:
        down, right: pixels to move it by.
        overlap: overlap with what is seen, there: 2 sum(P M) / (sum(P) + |M|), the Dice coefficient with probabilities.
        gain: the amount by which that exceeds the overlap where the mark lies.
    """

    down: int
    right: int
    overlap: float
    gain: float


def best_displacement(marked: np.ndarray, probability: np.ndarray, near: float, far: int) -> Displacement:
    """Find the displacement at which a mark overlaps most with what is seen.

    Args:
        marked: bool [H, W], at least one pixel.
        probability: float32 [H, W], of the marked class.
        near, far: least and largest distance in pixels; nearer is how outlines differ anyway.
    """
    height, width = marked.shape
    far = min(far, height - 1, width - 1)
    # What wraps around the edges falls into the padding.
    shape = (cv2.getOptimalDFTSize(height + far), cv2.getOptimalDFTSize(width + far))
    spectrum = np.fft.rfft2(probability, shape) * np.conj(np.fft.rfft2(marked, shape))
    products = np.roll(np.fft.irfft2(spectrum, shape), (far, far), axis=(0, 1))[: 2 * far + 1, : 2 * far + 1]
    overlaps = 2 * products / (float(probability.sum()) + np.count_nonzero(marked))
    steps = np.arange(-far, far + 1)
    distance = np.hypot(steps[:, None], steps[None, :])
    allowed = np.where((distance >= near) & (distance <= far), overlaps, -np.inf)
    down, right = np.unravel_index(int(allowed.argmax()), allowed.shape)
    if not np.isfinite(allowed[down, right]):  # the image is smaller than the least distance
        return Displacement(0, 0, float(overlaps[far, far]), 0.0)
    overlap = float(allowed[down, right])
    return Displacement(int(down) - far, int(right) - far, overlap, max(0.0, overlap - float(overlaps[far, far])))


def shift(inside: np.ndarray, down: int, right: int) -> np.ndarray:
    """A mask [H, W] moved by so many pixels, up and left where negative; what comes in is empty."""
    moved = np.zeros_like(inside)
    height, width = inside.shape
    if abs(down) >= height or abs(right) >= width:
        return moved
    to = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
    source = slice(max(-down, 0), height - max(down, 0)), slice(max(-right, 0), width - max(right, 0))
    moved[to] = inside[source]
    return moved
