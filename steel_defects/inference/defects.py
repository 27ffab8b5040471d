"""From a mask to single defects: areas, boxes, confidence and run-length codes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from steel_defects.data.coco import shapes_of_runs
from steel_defects.data.components import connected_runs


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
    classes, areas = runs.classes[runs.first], runs.areas

    # Pixels of all runs, one after the other; sums in double precision.
    before = np.cumsum(runs.lengths) - runs.lengths
    rows = np.arange(areas.sum()) + np.repeat(runs.tops - before, runs.lengths)
    values = confidence[rows, np.repeat(runs.columns, runs.lengths)].astype(np.float64)
    means = (np.add.reduceat(values, before[runs.first]) / areas).tolist()

    defects = [
        Defect(c, shape.area, shape.box, round(mean, 4), shape.counts)
        for c, shape, mean in zip(classes.tolist(), shapes_of_runs(runs, mask.shape), means, strict=True)
    ]
    starts = runs.columns * mask.shape[0] + runs.tops
    ends = starts + runs.lengths
    codes = {c: _code(starts[runs.classes == c], ends[runs.classes == c]) for c in np.unique(classes).tolist()}
    return codes, defects


def _code(starts: np.ndarray, ends: np.ndarray) -> str:
    """Kaggle's code of runs in any order that do not overlap; those that touch are joined."""
    order = np.argsort(starts)
    starts, ends = starts[order], ends[order]
    apart = starts[1:] != ends[:-1]
    starts, ends = starts[np.append(True, apart)], ends[np.append(apart, True)]
    return " ".join(map(str, np.stack([starts + 1, ends - starts], axis=1).ravel().tolist()))
