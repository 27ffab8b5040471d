"""Kaggle's submission: the rows of `sample_submission.csv`, filled with what was found.

Kaggle's sample has had two layouts. `ImageId_ClassId,EncodedPixels` asks for a row for each class of each image, empty
where the class is not there. `ImageId,EncodedPixels,ClassId` has one row for each image, with class 0 and a placeholder
(`name.jpg,1 409600,0`: all of the image is background); it becomes a row for each class found, and an image without
defects keeps its placeholder, so that no image is missing. Kaggle refuses codes that are not sorted or that overlap
only after the upload, so they are checked here.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePosixPath

import numpy as np

from steel_defects.core.errors import DataFaults, Fault, UserError
from steel_defects.core.files import write_rows
from steel_defects.data import rle as rle_code
from steel_defects.data.label_table import Row, TableError, read_table
from steel_defects.page.sheet import plural
from steel_defects.predict.journal import Journal

log = logging.getLogger(__name__)

KNOWN_LAYOUTS = (
    "known layouts: ImageId_ClassId,EncodedPixels (a row for each class of each image) and "
    "ImageId,EncodedPixels,ClassId (a row for each image, or for each class of each image)"
)
SHOWN = 40  # file names in a message


@dataclass(frozen=True)
class Sample:
    """What a sample submission asks for.

    Args:
        path: the file.
        header: names of the columns, in the file's order.
        columns: name -> index, of the columns that are filled or matched.
        rows: rows in the file's order.
        row_per_image: whether there is a row for each image; else one for each class of each image.
        images: every image once, in the file's order.
    """

    path: Path
    header: list[str]
    columns: dict[str, int]
    rows: list[Row]
    row_per_image: bool
    images: list[str]


def read_sample(path: Path, num_classes: int) -> Sample:
    """Read `sample_submission.csv` in any of its layouts.

    Args:
        path: UTF-8 text with commas; order of columns free, the content of further columns is kept.
        num_classes: number of defect classes; they run from 1.

    Raises:
        DataFaults: everything wrong with the file, by row.
        UserError: where there is no such file.
    """
    if not path.is_file():
        raise UserError(f"submission={path}: there is no such file; it takes Kaggle's sample_submission.csv")
    way_out = f"Take {path.name} as it comes with the images from Kaggle; this one is {path}"
    knows = f"the model knows {num_classes} classes"
    try:
        # Class 0 is no defect; it stands where the sample names no class.
        table = read_table(path, range(num_classes + 1), knows, KNOWN_LAYOUTS)
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

    first: dict[str, int] = {}  # image -> line of its first row
    classes: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        first.setdefault(row.image, row.line)
        classes[row.image].add(row.class_id)
    one_each = len(rows) == len(first) or any(row.class_id == 0 for row in rows)
    row_per_image = table.layout == "defect_rows" and one_each
    for row in rows:
        if row_per_image and row.line != first[row.image]:
            message = f"image {row.image} was already given in row {first[row.image]}, and this file has a row an image"
            faults.append(Fault(path.name, message, row.line))
        elif row.class_id == 0 and not row_per_image:
            faults.append(Fault(path.name, f"ClassId 0 is outside 1 to {num_classes}", row.line))
    if not faults and not row_per_image:  # a row at fault may be the one that seems to be missing
        for image, line in first.items():
            if missing := sorted({*range(1, num_classes + 1)} - classes[image]):
                which = f"class{'es' if len(missing) > 1 else ''} {', '.join(map(str, missing))}"
                faults.append(Fault(path.name, f"image {image} has no row for {which}: {knows}", line))
    if faults:
        raise DataFaults(sorted(faults, key=lambda fault: fault.row or 0), way_out)
    return Sample(path, table.header, table.columns, rows, row_per_image, list(first))


def only_listed(sample: Sample, paths: Mapping[str, Path]) -> dict[str, Path]:
    """The images that a sample submission lists, by file name.

    Args:
        sample: lists the file names of images.
        paths: name -> file, whatever their folders.

    Returns:
        the listed ones of `paths`, in the same order.

    Raises:
        UserError: where listed images are missing, or more than one file has the name.
    """
    by_file = defaultdict(list)
    for name in paths:
        by_file[PurePosixPath(name).name].append(name)
    for kind, unmatched in (
        ("are not in the input", [image for image in sample.images if not by_file.get(image)]),
        ("are there more than once", [image for image in sample.images if len(by_file.get(image, ())) > 1]),
    ):
        if unmatched:
            more = [f"… and {len(unmatched) - SHOWN} more"] if len(unmatched) > SHOWN else []
            lines = "\n  ".join([*unmatched[:SHOWN], *more])
            count = f"{len(unmatched)} of {len(sample.images)}"
            raise UserError(f"{count} images of the sample submission {kind}:\n  {lines}")
    if others := len(paths) - len(sample.images):
        log.info("Of the input, not in %s and left alone: %s", sample.path, plural(others, "image"))
    listed = {by_file[image][0] for image in sample.images}
    return {name: file for name, file in paths.items() if name in listed}


def write_submission(path: Path, sample: Sample, paths: Mapping[str, Path], journal: Journal) -> None:
    """Fill the sample in. The file appears whole, and only if everything is right.

    Args:
        path: CSV to write; folders above it are made.
        sample: the images asked for, and the layout to keep.
        paths: name -> file of just these images, see `only_listed`.
        journal: journal with the record of each name; an image that could not be read is handed in as clean.

    Raises:
        DataFaults: everything wrong with the codes.
        UserError: where the file cannot be written.
    """
    names = {PurePosixPath(name).name: name for name in paths}
    answers: dict[str, dict[int, str]] = {}
    faults: list[str] = []
    unread: list[str] = []
    for image in sample.images:
        record = journal.get(names[image])
        if record is None or record["status"] != "ok":
            unread.append(image)
            answers[image] = {}
        else:
            answers[image] = {int(c): code for c, code in record["codes"].items()}
            faults += _code_faults(image, answers[image], (record["height"], record["width"]))
    if faults:
        raise DataFaults([Fault(path.name, message) for message in faults], "No submission was written.")
    if unread:
        log.warning("Not readable, so handed in as clean: %s, %s first", plural(len(unread), "image"), unread[0])
    write_rows(path, sample.header, _filled(sample, answers))


def _code_faults(image: str, codes: Mapping[int, str], size: tuple[int, int]) -> Iterator[str]:
    runs = {}
    for class_id, code in sorted(codes.items()):
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
