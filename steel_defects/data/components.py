"""Connected defects by their runs of pixels down the columns, all classes at once.

Run-length codes need the runs anyway, and there are far fewer of them than pixels: OpenCV's connectedComponents, once
for every class, takes ten times as long on a strip of 256x1600.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np


class Runs(NamedTuple):
    """Runs of pixels of one class down a column; those of a defect (8-connected) one after the other.

    Defects are sorted by class, those of a class by their first pixel in column-major order; so are the runs of each.

    Args:
        columns: int64 [R], x of each run.
        tops: int64 [R], its first y.
        lengths: int64 [R], its pixels.
        classes: uint8 [R].
        first: int64 [D], index of the first run of each defect.
    """

    columns: np.ndarray
    tops: np.ndarray
    lengths: np.ndarray
    classes: np.ndarray
    first: np.ndarray

    @property
    def areas(self) -> np.ndarray:
        """Pixels of each defect, int64 [D]."""
        return np.add.reduceat(self.lengths, self.first) if len(self.first) else np.empty(0, np.int64)


def connected_runs(mask: np.ndarray) -> Runs:
    """Take a mask apart.

    Args:
        mask: uint8 [H, W], 0 background, c = class c.
    """
    x, y, width, height = cv2.boundingRect(mask)
    if not width:
        nothing = np.empty(0, np.int64)
        return Runs(nothing, nothing, nothing, np.empty(0, np.uint8), nothing)
    # Columns lie one behind the other, a pixel of background before each, so that no run goes on into the next.
    padded = cv2.copyMakeBorder(
        cv2.transpose(mask[y : y + height, x : x + width]), 0, 0, 1, 0, cv2.BORDER_CONSTANT, value=0
    )
    flat, stride = padded.ravel(), height + 1
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    classes = flat[edges]
    inside = classes > 0
    starts, ends, classes = edges[inside], np.append(edges[1:], flat.size)[inside], classes[inside]

    # Runs i, and all of the next column that touch them, be it at a corner.
    low, high = np.searchsorted(ends, starts + stride), np.searchsorted(starts, ends + stride, "right")
    count = high - low
    i = np.repeat(np.arange(len(starts)), count)
    j = np.arange(len(i)) + np.repeat(low - (np.cumsum(count) - count), count)
    same = classes[i] == classes[j]
    root = _smallest_connected(len(starts), i[same], j[same])

    order = np.lexsort((root, classes))  # stable
    first = np.flatnonzero(np.diff(root[order], prepend=-1))
    columns, tops = np.divmod(starts[order], stride)
    return Runs(columns + x, tops - 1 + y, (ends - starts)[order], classes[order], first)


def _smallest_connected(count: int, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """The smallest number connected to each of 0..count-1, directly or by way of others, by pairs (i, j)."""
    root = np.arange(count)
    while True:
        a, b = root[i], root[j]
        if np.array_equal(a, b):
            return root
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(root, further := root[root]):
            root = further


def erase_small(mask: np.ndarray, min_area: np.ndarray) -> None:
    """Erase, in place, connected defects with fewer pixels than their class needs.

    Args:
        mask: uint8 [H, W], 0 background, c = class c.
        min_area: [C], pixels, one a class.
    """
    runs = connected_runs(mask)
    small = runs.areas < np.asarray(min_area)[runs.classes[runs.first] - 1]
    run_is_small = np.repeat(small, np.diff(runs.first, append=len(runs.tops)))
    columns, tops, lengths = (values[run_is_small] for values in runs[:3])
    rows = np.arange(lengths.sum()) + np.repeat(tops - (np.cumsum(lengths) - lengths), lengths)
    mask[rows, np.repeat(columns, lengths)] = 0
