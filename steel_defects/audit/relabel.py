"""What a reviewer accepted, applied to the labels and written as a label file."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from steel_defects.audit.review import Review
from steel_defects.core.errors import DataFaults, Fault, UserError
from steel_defects.core.files import write_whole
from steel_defects.data import rle as rle_code
from steel_defects.data.annotations import KNOWN_LAYOUTS
from steel_defects.data.label_table import Row, Table, TableError, read_table
from steel_defects.data.labels import label_mask, mask_codes


def corrected_labels(
    review: Review,
    labels: Mapping[str, Mapping[int, str]],
    sizes: Mapping[str, tuple[int, int]],
    classes: Sequence[str],
    labels_from: Path,
) -> dict[str, dict[int, str]]:
    """Apply what was accepted: in each image first all that is marked is taken away, then all that is suggested drawn
    where nothing is marked, so that the order of rows does not matter, and labels that stay are left as they are.

    Args:
        review: whose excluded images are passed over.
        labels: image id -> class -> run-length code; images without any defect may be absent.
        sizes: image id -> (height, width) in pixels.
        classes: names of the defect classes.
        labels_from: the label file, for messages.

    Returns:
        Of the images whose labels are others now: image id -> class -> run-length code, classes without a pixel left
        out.

    Raises:
        DataFaults: all rows whose marked pixels are not of their class: the review was made for other labels.
    """
    changed: dict[str, dict[int, str]] = {}
    faults: list[Fault] = []
    for image, changes in review.accepted.items():
        if image in review.excluded:
            continue
        before = label_mask(labels.get(image, {}), *sizes[image])
        after = before.copy()
        for change in changes:
            marked = rle_code.decode(change.marked, *sizes[image]).astype(bool)
            if foreign := int((before[marked] != change.class_id).sum()):
                message = (
                    f"image {image}: {foreign} of {int(marked.sum())} marked pixels are not "
                    f"{classes[change.class_id - 1]} in {labels_from}"
                )
                faults.append(Fault(str(review.path), message, change.row))
            after[marked] = 0
        free = after == 0
        for change in changes:
            after[free & (rle_code.decode(change.suggested, *sizes[image]) > 0)] = change.suggested_id
        if not np.array_equal(before, after):
            changed[image] = mask_codes(after)
    if faults:
        way_out = f"The review was made for other labels than {labels_from}: take those, or audit these anew."
        raise DataFaults(sorted(faults, key=lambda fault: fault.row or 0), way_out)
    return changed


def write_corrected(
    source_csv: Path,
    target_csv: Path,
    changed: Mapping[str, Mapping[int, str]],
    excluded: Collection[str],
    num_classes: int,
) -> None:
    """Write a label file with other labels for some images, in the layout of the one it is made from.

    Rows of other images stay as they are to the byte, and so do line ends, a byte order mark, further columns and the
    order of rows. A changed image has its rows where its first one was; one that had none has them at the end. Rows
    whose label is the same stay, too; new ones have empty further columns. In the layout ImageId_ClassId an image
    keeps a row for each class that it had a row for, empty where the class is gone.

    Args:
        source_csv: label file in either layout.
        target_csv: file to write, another one; folders above it are made.
        changed: image id -> class -> run-length code, all labels of the image.
        excluded: ids of images that keep their rows, changed or not: it is `data.exclude` that leaves them out.
        num_classes: classes run from 1 to this.

    Raises:
        DataFaults: rows of the source that cannot be read.
        UserError: where the target is the source or cannot be written.
    """
    source_csv, target_csv = Path(source_csv), Path(target_csv)
    if source_csv.resolve() == target_csv.resolve():
        raise UserError(f"{target_csv} is the label file itself; write the corrected labels to another file")
    classes_from = f"data.classes names {num_classes} classes"
    try:
        table = read_table(source_csv, range(1, num_classes + 1), classes_from, KNOWN_LAYOUTS)
    except TableError as error:
        raise DataFaults([Fault(str(source_csv), str(error))]) from None
    rows = list(table.rows)
    if faults := [row for row in rows if isinstance(row, Fault)]:
        raise DataFaults(faults, "No corrected labels were written.")

    of_image: dict[str, list[Row]] = {image: [] for image in changed if image not in excluded}
    for row in rows:
        if isinstance(row, Row) and row.image in of_image:
            of_image[row.image].append(row)
    lines = list(table.lines)
    end = lines[0][len(lines[0].rstrip("\r\n")) :] or "\n"
    new = {image: "".join(_new_rows(table, image, own, changed[image], end)) for image, own in of_image.items()}
    for image, own in of_image.items():
        for row in own:
            lines[row.line - 1 : row.last] = [""] * (row.last - row.line + 1)
        if own:
            lines[own[0].line - 1] = new.pop(image)
    text = "".join(_ended(line, end) for line in [*lines, *new.values()] if line)
    if table.lines[-1] != _ended(table.lines[-1], end):
        text = text.removesuffix(end)
    write_whole(target_csv, text.encode())


def _new_rows(table: Table, image: str, own: Sequence[Row], codes: Mapping[int, str], end: str) -> Iterator[str]:
    """Lines for all labels of an image; `own` are the rows that it had."""
    had = {row.class_id: row for row in own}
    for c in sorted({*codes, *(had if table.layout == "all_rows" else ())}):
        code = codes.get(c, "")
        if c in had and rle_code.canonical(had[c].code) == rle_code.canonical(code):
            yield _ended("".join(table.lines[had[c].line - 1 : had[c].last]), end)
            continue
        key = {"ImageId_ClassId": f"{image}_{c}"} if table.layout == "all_rows" else {"ImageId": image, "ClassId": c}
        cells: list[object] = [""] * len(table.header)
        for name, cell in {**key, "EncodedPixels": code}.items():
            cells[table.columns[name]] = cell
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator=end).writerow(cells)
        yield text.getvalue()


def _ended(line: str, end: str) -> str:
    """The line with its end, which the last one of a file may lack."""
    return line if line.endswith(("\r", "\n")) else line + end
