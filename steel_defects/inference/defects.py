"""From a mask to single defects: areas, boxes, confidence and run-length codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from steel_defects.data.coco import shapes_of_runs
from steel_defects.data.components import connected_runs


@dataclass(frozen=True)
class Defect:
    """One connected defect; pixels that touch at a corner belong together.

    Args:
        class_id: 1-based, as in the mask.
        class_name: name of the same class.
        area: pixels.
        box: (x, y, width, height) in pixels.
        confidence: mean over its pixels, 0..1, rounded to four decimals.
        counts: its exact shape as COCO's uncompressed run lengths, column-major: pixels outside, inside, outside, ...
    """

    class_id: int
    class_name: str
    area: int
    box: tuple[int, int, int, int]
    confidence: float
    counts: list[int] = field(repr=False)


def find_defects(
    mask: np.ndarray, confidence: np.ndarray, classes: Sequence[str]
) -> tuple[dict[int, str], list[Defect]]:
    """Take a mask apart.

    Args:
        mask: uint8 [H, W], 0 background, c = class c.
        confidence: float32 [H, W].
        classes: names of the classes; the first is class 1.

    Returns:
        the run-length code (Kaggle's, as `data.rle`) of each class that is there; and the defects, those of the first
        class first, those of a class from left to right, as the first pixel of each comes in column-major order.
    """
    runs = connected_runs(mask)
    if not len(runs.first):
        return {}, []
    ids, areas = runs.classes[runs.first], runs.areas

    # Pixels of all runs, one after the other; sums in double precision.
    before = np.cumsum(runs.lengths) - runs.lengths
    rows = np.arange(areas.sum()) + np.repeat(runs.tops - before, runs.lengths)
    values = confidence[rows, np.repeat(runs.columns, runs.lengths)].astype(np.float64)
    means = (np.add.reduceat(values, before[runs.first]) / areas).tolist()

    defects = [
        Defect(c, classes[c - 1], shape.area, shape.box, round(mean, 4), shape.counts)
        for c, shape, mean in zip(ids.tolist(), shapes_of_runs(runs, mask.shape), means, strict=True)
    ]
    starts = runs.columns * mask.shape[0] + runs.tops
    ends = starts + runs.lengths
    codes = {c: _code(starts[runs.classes == c], ends[runs.classes == c]) for c in np.unique(ids).tolist()}
    return codes, defects


def _code(starts: np.ndarray, ends: np.ndarray) -> str:
    """Kaggle's code of runs in any order that do not overlap; those that touch are joined."""
    order = np.argsort(starts)
    starts, ends = starts[order], ends[order]
    apart = starts[1:] != ends[:-1]
    starts, ends = starts[np.append(True, apart)], ends[np.append(apart, True)]
    return " ".join(map(str, np.stack([starts + 1, ends - starts], axis=1).ravel().tolist()))
