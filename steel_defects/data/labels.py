"""The labels of a data set: read from `train.csv` in either of Kaggle's layouts, checked, and drawn as masks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from steel_defects.core.errors import Fault
from steel_defects.data import rle as rle_code
from steel_defects.data.label_table import Layout, TableError, read_table

LAYOUTS: dict[Layout, str] = {
    "defect_rows": "ImageId,ClassId,EncodedPixels (a row for each defect class of an image)",
    "all_rows": "ImageId_ClassId,EncodedPixels (a row for each class, empty where there is no defect)",
}
KNOWN_LAYOUTS = f"known layouts: {' and '.join(LAYOUTS.values())}"


@dataclass(frozen=True)
class Label:
    """The pixels of one class in one image.

    Args:
        rle: run-length encoding, well-formed; whether it fits the image is not known here.
        row: line number in the file, the header being line 1.
    """

    rle: str
    row: int


@dataclass(frozen=True)
class Annotations:
    """What a CSV file says.

    Args:
        layout: `defect_rows` or `all_rows`.
        rows: image id -> class (from 1) -> label. An image listed without any defect has an empty dict.
        lines: image id -> line numbers of all its rows, also of those with a fault or without a defect.
    """

    layout: Layout
    rows: dict[str, dict[int, Label]]
    lines: dict[str, list[int]] = field(default_factory=dict)


def read_annotations(
    csv_path: Path, num_classes: int, exclude: Collection[str] = ()
) -> tuple[Annotations, list[Fault]]:
    """Read a label file and find everything wrong with it.

    Args:
        csv_path: UTF-8 text with commas; order of columns free, further columns and blank lines ignored.
        num_classes: classes run from 1 to this.
        exclude: ids of images whose rows are passed over; a row of which image or class cannot be read is a fault.

    Returns:
        the sound rows, and the faults by row. A faulty row is in the second only.
    """
    name = Path(csv_path).name
    classes_from = f"data.classes names {num_classes} classes"
    try:
        table = read_table(csv_path, range(1, num_classes + 1), classes_from, KNOWN_LAYOUTS)
    except TableError as error:
        return Annotations("defect_rows", {}), [Fault(name, str(error))]

    annotations = Annotations(table.layout, {})
    faults: list[Fault] = []
    for row in table.rows:
        if isinstance(row, Fault):
            faults.append(row)
            continue
        if row.image in exclude:
            continue
        annotations.lines.setdefault(row.image, []).append(row.line)
        try:
            if row.repetition:
                raise TableError(row.repetition)
            rle_code.parse(row.code)
        except (TableError, rle_code.RLEError) as error:
            faults.append(Fault(name, str(error), row.line))
            continue
        labels = annotations.rows.setdefault(row.image, {})
        if row.code:
            labels[row.class_id] = Label(row.code, row.line)
    return annotations, faults


def label_faults(image_id: str, labels: dict[int, Label], size: Sequence[int] | None) -> Iterator[tuple[int, str]]:
    """Rows and messages where labels leave the image (if its size is known), or where two classes overlap."""
    runs = {}
    for class_id, label in labels.items():
        runs[class_id] = rle_code.parse(label.rle)
        if size is not None:
            try:
                rle_code.parse(label.rle, (size[0], size[1]))
            except rle_code.RLEError as error:
                yield label.row, f"image {image_id}, class {class_id}: {error}"
    by_row = sorted(labels, key=lambda class_id: labels[class_id].row)
    for first, second in combinations(by_row, 2):
        if shared := _shared_pixels(runs[first], runs[second]):
            pixels = f"{shared} pixel{'s' if shared > 1 else ''}"
            earlier = f"class {first} (row {labels[first].row})"
            yield labels[second].row, f"image {image_id}: class {second} overlaps {earlier} in {pixels}"


def _shared_pixels(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> int:
    """Pixels in both of two lists of runs, each sorted and free of overlap: where the depth of runs is two."""
    edges = np.concatenate([a[0], b[0], a[1], b[1]])
    steps = np.repeat([1, -1], [len(a[0]) + len(b[0]), len(a[1]) + len(b[1])])
    order = np.argsort(edges, kind="stable")
    depth = np.cumsum(steps[order])
    return int(np.diff(edges[order])[depth[:-1] == 2].sum())


def label_mask(rles: Mapping[int, str], height: int, width: int) -> np.ndarray:
    """Draw the labels of one image.

    Args:
        rles: class (1 to 255) -> run-length encoding. Where classes overlap, the highest is drawn.
        height, width: size of the image in pixels.

    Returns:
        uint8 [height, width]: 0 background, c where class c is.

    Raises:
        RLEError: where an encoding is malformed or does not fit.
    """
    pixels = np.zeros(height * width, np.uint8)
    for class_id in sorted(rles):
        starts, ends = rle_code.parse(rles[class_id], (height, width))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            pixels[start:end] = class_id
    return np.ascontiguousarray(pixels.reshape(width, height).T)


def mask_codes(mask: np.ndarray) -> dict[int, str]:
    """Write a mask as `label_mask` draws it: class -> run-length encoding, classes without a pixel left out.

    Args:
        mask: class indices, uint8 [height, width], 0 background.
    """
    return {c: rle_code.encode(mask == c) for c in np.unique(mask).tolist() if c}
