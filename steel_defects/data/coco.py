"""COCO's instances: the shape of a defect as COCO says it, and the file of all of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import NamedTuple, TextIO

import numpy as np

from steel_defects import __version__
from steel_defects.data import rle as rle_code
from steel_defects.data.components import Runs


class Shape(NamedTuple):
    """The pixels of an instance.

    Args:
        area: number of pixels.
        box: (x, y, width, height) in pixels.
        counts: COCO's uncompressed run lengths, column-major: pixels outside, inside, outside, ...
    """

    area: int
    box: tuple[int, int, int, int]
    counts: list[int]


def shapes_of_runs(runs: Runs, size: Sequence[int]) -> list[Shape]:
    """The shape of each connected defect.

    Args:
        runs: runs of pixels, at least one.
        size: (height, width) of the image.
    """
    (height, width), first = size, runs.first
    left, right = runs.columns[first], runs.columns[np.append(first[1:], len(runs.columns)) - 1] + 1
    top = np.minimum.reduceat(runs.tops, first)
    bottom = np.maximum.reduceat(runs.tops + runs.lengths, first)
    boxes = np.stack([left, top, right - left, bottom - top], axis=1).tolist()
    starts = runs.columns * height + runs.tops
    counts = _counts(starts, starts + runs.lengths, first, height * width)
    return [Shape(area, tuple(box), c) for area, box, c in zip(runs.areas.tolist(), boxes, counts, strict=True)]


def shape_of_code(code: str, size: Sequence[int]) -> Shape:
    """The shape of Kaggle's run-length code, connected or not, without drawing it.

    Args:
        code: run-length code with at least one run.
        size: (height, width) of the image.

    Raises:
        RLEError: where the code is malformed or does not fit.

    Example:
        >>> shape_of_code("2 2 6 1", (3, 4))
        Shape(area=3, box=(0, 1, 2, 2), counts=[1, 2, 2, 1, 6])
    """
    height, width = size
    starts, ends = rle_code.parse(code, (height, width))
    columns, last_columns = starts // height, (ends - 1) // height
    top, bottom = (starts % height).min(), ((ends - 1) % height).max() + 1
    if (columns != last_columns).any():  # a run that goes on in the next column has both the foot and the head of one
        top, bottom = 0, height
    left, right = columns[0], last_columns[-1] + 1
    box = (int(left), int(top), int(right - left), int(bottom - top))
    [counts] = _counts(starts, ends, np.zeros(1, np.int64), height * width)
    return Shape(int((ends - starts).sum()), box, counts)


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


class Writer:
    """A file of COCO's instances, written as they come.

    Args:
        file: the file to write, open as text.
        annotations: a file for the annotations until all images are written, open for reading as well.
        description: a sentence on what the file holds.
        categories: names and supercategories; the first pair is category 1.
    """

    def __init__(
        self, file: TextIO, annotations: TextIO, description: str, categories: Sequence[tuple[str, str]]
    ) -> None:
        self._file, self._annotations = file, annotations
        self._images = self._instances = 0
        self._size: list[int] = []
        info = {"description": description, "version": __version__}
        entries = [{"id": i, "name": name, "supercategory": of} for i, (name, of) in enumerate(categories, start=1)]
        file.write(f'{{"info":{json.dumps(info)},\n"categories":{json.dumps(entries)},\n"images":[')

    def image(self, name: str, size: Sequence[int]) -> None:
        """Begin an image of (height, width) pixels."""
        self._images += 1
        self._size = [size[0], size[1]]
        entry = {"id": self._images, "file_name": name, "height": size[0], "width": size[1]}
        self._file.write(f"{',' if self._images > 1 else ''}\n{_compact(entry)}")

    def instance(self, category: int, shape: Shape, score: float | None = None, **further: object) -> None:
        """Add an instance to the image begun last; one without a score has no such field."""
        self._instances += 1
        annotation = {
            "id": self._instances,
            "image_id": self._images,
            "category_id": category,
            "bbox": shape.box,
            "area": shape.area,
            "iscrowd": 0,
            **({} if score is None else {"score": score}),
            **further,
            "segmentation": {"size": self._size, "counts": shape.counts},
        }
        self._annotations.write(f"{',' if self._instances > 1 else ''}\n{_compact(annotation)}")

    def close(self) -> None:
        """Put the two parts together."""
        self._file.write('],\n"annotations":[')
        self._annotations.seek(0)
        shutil.copyfileobj(self._annotations, self._file)
        self._file.write("]}\n")


def _compact(values: dict) -> str:
    return json.dumps(values, separators=(",", ":"))
