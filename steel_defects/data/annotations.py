"""Reading `train.csv` in either of Kaggle's layouts."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from steel_defects.data import rle as rle_code
from steel_defects.errors import Fault

Layout = Literal["defect_rows", "all_rows"]

COLUMNS: dict[Layout, tuple[str, ...]] = {
    "defect_rows": ("ImageId", "ClassId", "EncodedPixels"),
    "all_rows": ("ImageId_ClassId", "EncodedPixels"),
}
KNOWN_LAYOUTS = (
    "known layouts: ImageId,ClassId,EncodedPixels (a row for each defect class of an image) and "
    "ImageId_ClassId,EncodedPixels (a row for each class, empty where there is no defect)"
)

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_JOINED = re.compile(r"\.[A-Za-z]+_[0-9]+$")  # the end of `name.jpg_3`


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


class _RowError(Exception):
    """What is wrong with one row."""


def read_annotations(csv_path: Path, num_classes: int) -> tuple[Annotations, list[Fault]]:
    """Read a label file and find everything wrong with it.

    Args:
        csv_path: UTF-8 text with commas; order of columns free, further columns and blank lines ignored.
        num_classes: classes run from 1 to this.

    Returns:
        the sound rows, and the faults by row. A faulty row is in the second only.
    """
    found = Annotations("defect_rows", {})
    faults: list[Fault] = []
    first_rows: dict[tuple[str, int], int] = {}
    try:
        records = _records(_read_text(Path(csv_path)))
        header = next(records, None)
        if header is None:
            raise _RowError(f"is empty; {KNOWN_LAYOUTS}")
        if isinstance(header[1], _RowError):
            raise header[1]
        layout, columns = _read_header([name.strip() for name in header[1]])
    except _RowError as error:
        return found, [Fault(Path(csv_path).name, str(error))]

    found = Annotations(layout, {})
    for row, cells in records:
        try:
            if isinstance(cells, _RowError):
                raise cells
            image, class_id = _read_key(cells, len(header[1]), layout, columns, num_classes)
            found.lines.setdefault(image, []).append(row)
            first = first_rows.setdefault((image, class_id), row)
            if first != row:
                raise _RowError(f"image {image}, class {class_id} was already given in row {first}")
            code = cells[columns["EncodedPixels"]].strip()
            rle_code.parse(code)
            labels = found.rows.setdefault(image, {})
            if code:
                labels[class_id] = Label(code, row)
        except (_RowError, rle_code.RLEError) as error:
            faults.append(Fault(Path(csv_path).name, str(error), row))
    return found, faults


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise _RowError(f"does not exist; {KNOWN_LAYOUTS}") from None
    except OSError as error:
        raise _RowError(f"cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise _RowError(f"is not UTF-8 text (byte {error.start + 1}); save it as CSV in UTF-8") from None


def _records(text: str) -> Iterator[tuple[int, list[str] | _RowError]]:
    """Line number and cells of every record that is not blank. A quoted cell may span lines: the first one counts."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        row = reader.line_num + 1
        try:
            with _cells_of_any_length():
                cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield row, _RowError(f"is not CSV ({error})")
            continue
        if any(cell.strip() for cell in cells):
            yield row, cells


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """The limit of 131,072 characters a cell is too tight for the code of a large image; it is global, so put back."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_header(header: list[str]) -> tuple[Layout, dict[str, int]]:
    """The layout, and where its columns are."""
    shown = ",".join(header)[:120]
    joined = "ImageId_ClassId" in header
    if joined and ("ImageId" in header or "ClassId" in header):
        raise _RowError(f"the header mixes two layouts ({shown}); {KNOWN_LAYOUTS}")
    layout: Layout = "all_rows" if joined else "defect_rows"
    missing = [name for name in COLUMNS[layout] if name not in header]
    if missing:
        columns = f"column{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
        raise _RowError(f"{columns} missing from the header ({shown}); {KNOWN_LAYOUTS}")
    twice = [name for name in COLUMNS[layout] if header.count(name) > 1]
    if twice:
        raise _RowError(f"the header names {', '.join(twice)} more than once ({shown})")
    return layout, {name: header.index(name) for name in COLUMNS[layout]}


def _read_key(
    cells: list[str], width: int, layout: Layout, columns: Mapping[str, int], num_classes: int
) -> tuple[str, int]:
    """Image id and class of a row, checked."""
    if len(cells) != width:
        other = ""
        if layout == "defect_rows" and _JOINED.search(cells[0].strip()):
            other = ", as in the layout ImageId_ClassId,EncodedPixels: two layouts are mixed"
        elif layout == "all_rows" and len(cells) == 3 and _WHOLE.fullmatch(cells[1].strip()):
            other = ", as in the layout ImageId,ClassId,EncodedPixels: two layouts are mixed"
        raise _RowError(f"has {len(cells)} cell{'s' if len(cells) != 1 else ''}, the header has {width}{other}")
    if layout == "all_rows":
        joined = cells[columns["ImageId_ClassId"]].strip()
        image, mark, number = (part.strip() for part in joined.rpartition("_"))
        if not mark or not _WHOLE.fullmatch(number):
            raise _RowError(f"ImageId_ClassId {joined[:80]!r} does not end in an underscore and a class (name.jpg_3)")
    else:
        image, number = (cells[columns[name]].strip() for name in ("ImageId", "ClassId"))
        if _JOINED.search(image):
            raise _RowError(f"ImageId {image[:80]!r} names a class, as in the other layout: two layouts are mixed")
    if image in ("", ".", "..") or any(character in image for character in "/\\\0"):
        raise _RowError(f"ImageId {image[:80]!r} is not a plain file name")
    if not _WHOLE.fullmatch(number):
        raise _RowError(f"ClassId {number[:40]!r} is not a whole number")
    if not 1 <= int(number) <= num_classes:
        raise _RowError(
            f"ClassId {int(number)} is outside 1 to {num_classes}: data.classes names {num_classes} classes"
        )
    return image, int(number)
