"""One image in numbers: its light; and its labels: regions, their connected segments, and where they lie.

What concerns labels comes from the runs of pixels down the columns, of which there are far fewer than pixels; what is
left of them at the training size, too, as resizing by nearest neighbour takes whole rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from steel_defects.data.components import Runs, connected_runs
from steel_defects.data.labels import Label
from steel_defects.data.rle import RLEError, parse

GRID = (16, 64)  # rows and columns of a heat map

# Grey values up to this are black. In Severstal's strips the black beyond the edge has 0 to 12, the haze on it up to
# about 20, and the darkest steel beside it a mean of 22 upwards; the steel appears within 2 to 8 columns. Looked at by
# eye, the edge lies within 4 columns of where any threshold from 15 to 25 puts it.
BLACK = 20
# A line with fewer brighter pixels than this share of those of the brightest line is margin: a glint in the black
# does not end it. Relative, since with a margin of 85 % of the width, as there is, all rows are mostly black.
_FEW = 0.05


class Margins(NamedTuple):
    """Columns or rows of black in from each side, in pixels; `left` and `top` take all of an image without light."""

    left: int
    right: int
    top: int
    bottom: int


class Light(NamedTuple):
    """Brightness of one image.

    Args:
        brightness: mean grey value, 0 to 255.
        contrast: standard deviation of the grey values.
        margins: black beyond the strip's edges.
        black_percent: share of the pixels that are black, wherever they lie, 0 to 100.
    """

    brightness: float
    contrast: float
    margins: Margins
    black_percent: float


def measure_light(image: np.ndarray) -> Light:
    """Measure a grey image, uint8 [H, W]. A strip of 256x1600 takes a tenth of the time its decoding takes."""
    mean, deviation = cv2.meanStdDev(image)
    _, lit = cv2.threshold(image, BLACK, 1, cv2.THRESH_BINARY)
    columns, rows = (cv2.reduce(lit, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel() for axis in (0, 1))
    black = 100 * (1 - int(columns.sum()) / image.size)
    return Light(float(mean.item()), float(deviation.item()), Margins(*_margins(columns), *_margins(rows)), black)


def _margins(lit: np.ndarray) -> tuple[int, int]:
    """Lines before the first and behind the last that is no margin, by the number of pixels lit in each."""
    steel = np.flatnonzero(lit > _FEW * lit.max())
    return (int(steel[0]), len(lit) - 1 - int(steel[-1])) if len(steel) else (len(lit), 0)


class Region(NamedTuple):
    """All pixels of one class in one image; what needs the image's size is None where that is not known.

    Args:
        image_id: the image.
        class_id: number of the class, from 1.
        row: line in the label file.
        area_px: pixels.
        area_percent: share of the image, 0 to 100.
        segments: number of connected ones (8 neighbours).
        resized_px: pixels at the training size.
        resized_segments: number of segments of which a pixel is left there.
        vanished: whether no pixel is left.
    """

    image_id: str
    class_id: int
    row: int
    area_px: int
    area_percent: float | None = None
    segments: int | None = None
    resized_px: int | None = None
    resized_segments: int | None = None
    vanished: bool | None = None


class Segment(NamedTuple):
    """Connected pixels (8 neighbours) of one class in one image.

    Args:
        image_id: the image.
        class_id: number of the class, from 1.
        area_px: pixels.
        x, y: left column and top row, from 0.
        width, height: sides of the box around it, in pixels.
        resized_px: its pixels at the training size; 0: it vanishes.
    """

    image_id: str
    class_id: int
    area_px: int
    x: int
    y: int
    width: int
    height: int
    resized_px: int


@dataclass(frozen=True)
class Examined:
    """The labels of one image.

    Args:
        regions: regions by class.
        segments: segments by class, those of a class by their first pixel (down, then right).
        heat: class -> float64 `GRID`, share of each cell that is of the class; cells divide the image evenly.
    """

    regions: list[Region] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    heat: dict[int, np.ndarray] = field(default_factory=dict)


def fitting(labels: Mapping[int, Label], size: tuple[int, int] | None) -> dict[int, Label]:
    """The labels that lie inside an image of `size` (height, width), by class; all where the size is not known."""
    kept = {}
    for class_id, label in sorted(labels.items()):
        try:
            parse(label.rle, size)
        except RLEError:
            continue
        kept[class_id] = label
    return kept


def examine(
    image_id: str, labels: Mapping[int, Label], size: tuple[int, int] | None, training_size: tuple[int, int]
) -> Examined:
    """Measure the labels of one image, each class on its own: in faulty data they may overlap.

    Args:
        image_id: name of the image.
        labels: class (from 1) -> its well-formed label. One that leaves the image is passed over: it is a fault.
        size: (height, width) of the image in pixels; where it is None, not known, regions have their area alone.
        training_size: (height, width) that masks are resized to, as by `steel_defects.data.images.resize`.
    """
    examined = Examined()
    for class_id, label in fitting(labels, size).items():
        starts, ends = parse(label.rle)
        if size is None:
            examined.regions.append(Region(image_id, class_id, label.row, int((ends - starts).sum())))
            continue
        runs = _connected(starts, ends, size[0])
        segments = _segments(image_id, class_id, runs, size, training_size)
        area = sum(segment.area_px for segment in segments)
        kept = [segment.resized_px for segment in segments if segment.resized_px]
        percent = 100 * area / (size[0] * size[1])
        examined.regions.append(
            Region(image_id, class_id, label.row, area, percent, len(segments), sum(kept), len(kept), not kept)
        )
        examined.segments.extend(segments)
        examined.heat[class_id] = _heat(runs, size)
    return examined


def _connected(starts: np.ndarray, ends: np.ndarray, height: int) -> Runs:
    """Connected runs of a parsed label; only the columns that it touches are drawn."""
    left, right = starts[0] // height, (ends[-1] - 1) // height + 1
    pixels = np.zeros((right - left) * height, np.uint8)
    for start, end in zip((starts - left * height).tolist(), (ends - left * height).tolist(), strict=True):
        pixels[start:end] = 1
    runs = connected_runs(np.ascontiguousarray(pixels.reshape(-1, height).T))
    return runs._replace(columns=runs.columns + left)


def _segments(
    image_id: str, class_id: int, runs: Runs, size: tuple[int, int], training_size: tuple[int, int]
) -> list[Segment]:
    bottoms = runs.tops + runs.lengths
    rows, columns = (_taken(length, target) for length, target in zip(size, training_size, strict=True))
    kept = (rows[bottoms] - rows[runs.tops]) * (columns[runs.columns + 1] - columns[runs.columns])
    x, y = (np.minimum.reduceat(values, runs.first) for values in (runs.columns, runs.tops))
    width = np.maximum.reduceat(runs.columns, runs.first) + 1 - x
    height = np.maximum.reduceat(bottoms, runs.first) - y
    numbers = np.stack([runs.areas, x, y, width, height, np.add.reduceat(kept, runs.first)], axis=1)
    return [Segment(image_id, class_id, *values) for values in numbers.tolist()]


def _heat(runs: Runs, size: tuple[int, int]) -> np.ndarray:
    rows, columns = (_covered(length, cells) for length, cells in zip(size, GRID, strict=True))
    down = rows[runs.tops + runs.lengths] - rows[runs.tops]
    across = columns[runs.columns + 1] - columns[runs.columns]
    return down.T @ across


@lru_cache(maxsize=64)
def _taken(length: int, target: int) -> np.ndarray:
    """How many of the `target` lines come from the first p of `length` lines, int64 [length + 1]."""
    # OpenCV's own rounding, read off a picture whose pixels are their own numbers.
    numbers = np.arange(length, dtype=np.int32)[None]
    taken = cv2.resize(numbers, (target, 1), interpolation=cv2.INTER_NEAREST_EXACT).ravel()
    return np.append(0, np.cumsum(np.bincount(taken, minlength=length)))


@lru_cache(maxsize=64)
def _covered(length: int, cells: int) -> np.ndarray:
    """Share of each of the `cells` that the first p of `length` lines cover, float64 [length + 1, cells]."""
    return np.clip(np.arange(length + 1)[:, None] * (cells / length) - np.arange(cells), 0, 1)
