"""Kaggle's submission: the rows of `sample_submission.csv`, filled with what was found.

Kaggle's sample has had two layouts. `ImageId_ClassId,EncodedPixels` asks for a row for each class of each image, empty
where the class is not there. `ImageId,EncodedPixels,ClassId` has one row for each image, with class 0 and a placeholder
(`name.jpg,1 409600,0`: all of the image is background); it becomes a row for each class found, and an image without
defects keeps its placeholder, so that no image is missing. Kaggle refuses codes that are not sorted or that overlap
only after the upload, so they are checked here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from steel_defects.core.errors import DataFaults, Fault, UserError
from steel_defects.core.files import write_whole
from steel_defects.data import rle as rle_code
from steel_defects.data.label_table import Row, TableError, read_table

KNOWN_LAYOUTS = (
    "known layouts: ImageId_ClassId,EncodedPixels (a row for each class of each image) and "
    "ImageId,EncodedPixels,ClassId (a row for each image, or for each class of each image)"
)


@dataclass(frozen=True)
class Sample:
    """What a sample submission asks for.

    Args:
        path: the file.
        num_classes: classes run from 1 to this.
        header: names of the columns, in the file's order.
        columns: name -> index, of the columns that are filled or matched.
        rows: in the file's order.
        row_per_image: a row for each image; else one for each class of each image.
        images: every image once, in the file's order.
    """

    path: Path
    num_classes: int
    header: list[str]
    columns: dict[str, int]
    rows: list[Row]
    row_per_image: bool
    images: list[str]


def read_sample(path: Path, num_classes: int) -> Sample:
    """Read `sample_submission.csv` in any of its layouts.

    Args:
        path: UTF-8 text with commas; order of columns free, the content of further columns is kept.
        num_classes: classes run from 1 to this.

    Raises:
        DataFaults: everything wrong with the file, by row.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"submission={path}: there is no such file; it takes Kaggle's sample_submission.csv")
    way_out = f"Take {path.name} as it comes with the images from Kaggle; this one is {path}"
    try:
        # Class 0 is no defect; it stands where the sample names no class.
        table = read_table(path, range(num_classes + 1), f"the model knows {num_classes} classes", KNOWN_LAYOUTS)
    except TableError as error:
        raise DataFaults([Fault(path.name, str(error))], way_out) from None
    rows: list[Row] = []
    faults: list[Fault] = []
    for row in table.rows:
        if isinstance(row, Fault):
            faults.append(row)
        elif row.repetition:
            faults.append(Fault(path.name, row.repetition, row.line))
        else:
            rows.append(row)
    if not rows and not faults:
        faults.append(Fault(path.name, "lists no images"))

    images = list(dict.fromkeys(row.image for row in rows))
    one_each = len(rows) == len(images) or any(row.class_id == 0 for row in rows)
    row_per_image = table.layout == "defect_rows" and one_each
    sample = Sample(path, num_classes, table.header, table.columns, rows, row_per_image, images)
    wrong = list(_second_rows(sample) if row_per_image else _rows_without_class(sample))
    if not wrong and not faults and not row_per_image:  # a row at fault may be the one that seems to be missing
        wrong = list(_missing_classes(sample))
    faults += [Fault(path.name, message, line) for line, message in wrong]
    if faults:
        raise DataFaults(sorted(faults, key=lambda fault: fault.row or 0), way_out)
    return sample


def _second_rows(sample: Sample) -> Iterator[tuple[int, str]]:
    first: dict[str, int] = {}
    for row in sample.rows:
        if first.setdefault(row.image, row.line) != row.line:
            line = first[row.image]
            yield row.line, f"image {row.image} was already given in row {line}, and this file has a row an image"


def _rows_without_class(sample: Sample) -> Iterator[tuple[int, str]]:
    for row in sample.rows:
        if row.class_id == 0:
            yield row.line, f"ClassId 0 is outside 1 to {sample.num_classes}"


def _missing_classes(sample: Sample) -> Iterator[tuple[int, str]]:
    missing = {image: set(range(1, sample.num_classes + 1)) for image in sample.images}
    lines: dict[str, int] = {}
    for row in sample.rows:
        missing[row.image].discard(row.class_id)
        lines.setdefault(row.image, row.line)
    for image, classes in missing.items():
        if classes:
            which = f"class{'es' if len(classes) > 1 else ''} {', '.join(map(str, sorted(classes)))}"
            yield lines[image], f"image {image} has no row for {which}: the model knows {sample.num_classes} classes"


def write_submission(
    path: Path, sample: Sample, codes: Iterable[tuple[str, dict[int, str], tuple[int, int] | None]]
) -> None:
    """Fill the sample in. The file appears whole, and only if everything is right.

    Args:
        path: file to write; folders above it are made.
        sample: which images are asked for, and the layout to keep.
        codes: of every image of the sample, in any order: its id; class -> run-length code, where an empty code is as
            good as none; and (height, width), None for an image that could not be read, which is handed in as clean.

    Raises:
        DataFaults: everything wrong with the codes.
        UserError: where the file cannot be written, or is the sample itself.
    """
    path = Path(path)
    if path.resolve() == sample.path.resolve():
        raise UserError(f"{path} is the sample submission itself; write the submission to another file")
    wanted = set(sample.images)
    answers: dict[str, dict[int, str]] = {}
    wrong: list[str] = []
    for image, by_class, size in codes:
        if image not in wanted:
            wrong.append(f"image {image} is not in {sample.path.name}")
        elif image in answers:
            wrong.append(f"image {image} was handed in more than once")
        else:
            found = {class_id: " ".join(code.split()) for class_id, code in by_class.items()}
            answers[image] = {class_id: code for class_id, code in found.items() if code}
            wrong += _code_faults(image, answers[image], size, sample.num_classes)
    wrong += [f"image {image} was not handed in" for image in sample.images if image not in answers]
    if wrong:
        raise DataFaults([Fault(path.name, message) for message in wrong], "No submission was written.")

    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(sample.header)
    writer.writerows(_filled(sample, answers))
    write_whole(path, text.getvalue().encode())


def _code_faults(image: str, codes: Mapping[int, str], size: tuple[int, int] | None, num_classes: int) -> Iterator[str]:
    if codes and size is None:
        yield f"image {image} has codes, but no size to check them against"
    runs = {}
    for class_id, code in sorted(codes.items()):
        if not 1 <= class_id <= num_classes:
            yield f"image {image}: class {class_id} is outside 1 to {num_classes}"
        try:
            runs[class_id] = rle_code.parse(code, size)
        except rle_code.RLEError as error:
            yield f"image {image}, class {class_id}: {error}"
    for first, second in combinations(runs, 2):
        starts, ends = (np.concatenate(both) for both in zip(runs[first], runs[second], strict=True))
        order = np.argsort(starts, kind="stable")
        if (starts[order][1:] < ends[order][:-1]).any():
            yield f"image {image}: class {second} overlaps class {first}"


def _filled(sample: Sample, answers: Mapping[str, Mapping[int, str]]) -> Iterator[list[str]]:
    """The rows of the submission: copies of the sample's cells, with codes, and classes where it names none."""
    for row in sample.rows:
        codes = answers[row.image]
        if not sample.row_per_image:
            chosen = {row.class_id: codes.get(row.class_id, "")}
        elif not codes and row.class_id == 0:
            yield row.cells
            continue
        else:
            chosen = dict(sorted(codes.items())) or {row.class_id: ""}
        for class_id, code in chosen.items():
            cells = row.cells.copy()
            cells[sample.columns["EncodedPixels"]] = code
            if sample.row_per_image:
                cells[sample.columns["ClassId"]] = str(class_id)
            yield cells
