"""From a mask to single defects: areas, boxes, confidence and run-length codes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from steel_defects.inference.components import connected_runs


class Defect(NamedTuple):
    """One connected defect.

    Args:
        class_id: 1-based.
        area: pixels.
        box: (x, y, width, height) in pixels.
        confidence: mean over its pixels.
        counts: COCO's uncompressed run lengths, column-major: pixels outside, inside, outside, ...
    """

    class_id: int
    area: int
    box: tuple[int, int, int, int]
    confidence: float
    counts: list[int]


def find_defects(mask: np.ndarray, confidence: np.ndarray) -> tuple[dict[int, str], list[Defect]]:
    """Take a mask apart.

    Args:
        mask: uint8 [H, W], 0 background, c = class c.
        confidence: float32 [H, W].

    Returns:
        the run-length code (Kaggle's, as `data.rle`) of each class that is there; and the defects, those of the first
        class first, those of a class from left to right, as the first pixel of each comes in column-major order.
    """
    runs = connected_runs(mask)
    if not len(runs.first):
        return {}, []
    (height, width), first = mask.shape, runs.first
    classes, areas = runs.classes[first], runs.areas
    left, right = runs.columns[first], runs.columns[np.append(first[1:], len(runs.columns)) - 1] + 1
    top = np.minimum.reduceat(runs.tops, first)
    bottom = np.maximum.reduceat(runs.tops + runs.lengths, first)
    boxes = np.stack([left, top, right - left, bottom - top], axis=1).tolist()

    # Pixels of all runs, one after the other; sums in double precision.
    before = np.cumsum(runs.lengths) - runs.lengths
    rows = np.arange(areas.sum()) + np.repeat(runs.tops - before, runs.lengths)
    values = confidence[rows, np.repeat(runs.columns, runs.lengths)].astype(np.float64)
    means = (np.add.reduceat(values, before[first]) / areas).tolist()

    starts = runs.columns * height + runs.tops
    ends = starts + runs.lengths
    counts = _counts(starts, ends, first, height * width)
    defects = [
        Defect(c, area, tuple(box), round(mean, 4), runs_of)
        for c, area, box, mean, runs_of in zip(classes.tolist(), areas.tolist(), boxes, means, counts, strict=True)
    ]
    codes = {c: _code(starts[runs.classes == c], ends[runs.classes == c]) for c in np.unique(classes).tolist()}
    return codes, defects


def _counts(starts: np.ndarray, ends: np.ndarray, first: np.ndarray, pixels: int) -> list[list[int]]:
    """COCO's counts of each defect, from its runs."""
    opens = np.zeros(len(starts), bool)
    opens[first] = True
    keep = opens | np.append(True, starts[1:] != ends[:-1])  # others go on from the foot of the column before
    closes = np.append(keep[1:], True)
    starts, ends, opens = starts[keep], ends[closes], opens[keep]
    gaps = starts - np.where(opens, 0, np.append(0, ends[:-1]))
    numbers = np.stack([gaps, ends - starts], axis=1).ravel().tolist()
    bounds = [*np.flatnonzero(opens).tolist(), len(starts)]
    rests = (pixels - ends[np.array(bounds[1:]) - 1]).tolist()
    return [
        numbers[2 * low : 2 * high] + ([rest] if rest else [])
        for low, high, rest in zip(bounds, bounds[1:], rests, strict=False)
    ]


def _code(starts: np.ndarray, ends: np.ndarray) -> str:
    """Kaggle's code of runs in any order that do not overlap; those that touch are joined."""
    order = np.argsort(starts)
    starts, ends = starts[order], ends[order]
    apart = starts[1:] != ends[:-1]
    starts, ends = starts[np.append(True, apart)], ends[np.append(apart, True)]
    return " ".join(map(str, np.stack([starts + 1, ends - starts], axis=1).ravel().tolist()))
