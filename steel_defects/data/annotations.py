"""Reading `train.csv` in either of Kaggle's layouts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

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
