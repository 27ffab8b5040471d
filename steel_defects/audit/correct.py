"""The second half of an audit: a reviewer's verdicts become corrected labels."""

from __future__ import annotations

import csv
import io
import logging
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steel_defects import CONF_DIR
from steel_defects.audit.review import Review, read_review
from steel_defects.cli.console import print_sheets
from steel_defects.core.errors import DataFaults, Fault, UserError
from steel_defects.core.files import write_whole
from steel_defects.core.settings import as_typed
from steel_defects.data import rle as rle_code
from steel_defects.data.catalog import load_catalog
from steel_defects.data.images import list_images
from steel_defects.data.label_table import Row, Table, TableError, read_table
from steel_defects.data.labels import KNOWN_LAYOUTS, label_mask, mask_codes
from steel_defects.data.settings import DataSettings
from steel_defects.inference.loading import open_engine
from steel_defects.inference.run_data import data_settings
from steel_defects.page.sheet import Sheet, plural

log = logging.getLogger(__name__)

_MEANING = {
    "accept": "the suggestion replaces the label",
    "keep": "the label stays",
    "exclude": "the image is left out by data.exclude",
    "": "not looked at, the label stays",
}


def correct(
    reviewed: Path,
    checkpoint: Path | None,
    folder: Path,
    chosen: DataSettings | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Write a label file in which what was accepted is corrected.

    Args:
        reviewed: an `audit.csv` with verdicts.
        checkpoint: the one of the audit, whose run says which labels were judged; None where the data is chosen.
        folder: the folder to write into.
        chosen, changes: what was asked for of the data, see `load_run_data`.

    Returns:
        The label file.

    Raises:
        UserError: for what the user can mend; then nothing is written.
    """
    data = _data(checkpoint, chosen, changes)
    root = Path(data.root).expanduser()
    # Without data.exclude: a corrected file keeps the rows of all images.
    catalog = load_catalog(
        root,
        csv=data.csv,
        image_dir=data.image_dir,
        num_classes=len(data.classes),
        image_size=data.image_size,
        on_bad=data.on_bad,
    )
    sizes = {sample.image_id: (sample.height, sample.width) for sample in catalog.samples}
    labels = {sample.image_id: sample.rles for sample in catalog.samples}
    review = read_review(reviewed, list_images(root / data.image_dir), sizes, data.classes)
    if not review.accepted and not review.excluded:
        raise UserError(
            f"{review.path} has no row with the verdict accept or exclude: there is nothing to correct. Fill in its "
            "column verdict"
        )
    source = root / data.csv
    changed = corrected_labels(review, labels, sizes, data.classes, source)
    target = folder / source.name
    write_corrected(source, target, changed, review.excluded, len(data.classes))

    lines = [[verdict or "(none)", f"{count:,}", _MEANING[verdict]] for verdict, count in review.verdicts.items()]
    sheet = Sheet("Verdicts", ["verdict", "findings", "meaning"], sorted(lines), left=(0, 2))
    print_sheets(sheet)
    log.info("%s with changed labels: %s", plural(len(changed), "image"), target)
    log.info("To use it: python -m steel_defects.train %s", shlex.join(_words(data, target, review)))
    return target


def _words(data: DataSettings, target: Path, review: Review) -> list[str]:
    """What to type for a training on the corrected labels."""
    words = [f"data={data.name}"] if (Path(CONF_DIR) / "data" / f"{data.name}.yaml").is_file() else []
    words += [f"data.{key}={as_typed(getattr(data, key))}" for key in ("root", "image_dir", "classes", "image_size")]
    words.append(f"data.csv={target.absolute()}")
    return words + ([f"data.exclude={review.path.absolute()}"] if review.excluded else [])


def _data(checkpoint: Path | None, chosen: DataSettings | None, changes: Mapping[str, Any] | None) -> DataSettings:
    """Settings of the data: as chosen, or those of the checkpoint's run."""
    if checkpoint is not None:
        chosen = data_settings([checkpoint], open_engine(checkpoint).card, chosen, changes)
    if chosen is None:
        raise UserError(
            "reviewed=<audit.csv> needs to know which labels: data=<choice of conf/data> (with data.root=<folder> "
            "where it lies elsewhere), or checkpoint=<that of the audit>"
        )
    return chosen


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
        way_out = f"The review was made for labels other than {labels_from}: take those, or audit these again."
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

    rows_of: dict[str, list[Row]] = {image: [] for image in changed if image not in excluded}
    for row in rows:
        if isinstance(row, Row) and row.image in rows_of:
            rows_of[row.image].append(row)
    lines = list(table.lines)
    end = lines[0][len(lines[0].rstrip("\r\n")) :] or "\n"
    new = {image: "".join(_new_rows(table, image, before, changed[image], end)) for image, before in rows_of.items()}
    for image, before in rows_of.items():
        for row in before:
            lines[row.line - 1 : row.last] = [""] * (row.last - row.line + 1)
        if before:
            lines[before[0].line - 1] = new.pop(image)
    text = "".join(_ended(line, end) for line in [*lines, *new.values()] if line)
    if table.lines[-1] != _ended(table.lines[-1], end):
        text = text.removesuffix(end)
    write_whole(target_csv, text.encode())


def _new_rows(table: Table, image: str, before: Sequence[Row], codes: Mapping[int, str], end: str) -> Iterator[str]:
    """Lines for all labels of an image; `before` are the rows that it had."""
    had = {row.class_id: row for row in before}
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
