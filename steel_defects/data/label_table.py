"""Tables of an image and a class a row, in either of Kaggle's layouts: labels to read, or a submission to fill in."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from steel_defects.core.errors import Fault

Layout = Literal["defect_rows", "all_rows"]

COLUMNS: dict[Layout, tuple[str, ...]] = {
    "defect_rows": ("ImageId", "ClassId", "EncodedPixels"),
    "all_rows": ("ImageId_ClassId", "EncodedPixels"),
}

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_JOINED = re.compile(r"\.[A-Za-z]+_[0-9]+$")  # the end of `name.jpg_3`


class TableError(Exception):
    """What is wrong with a row, or with the table as a whole."""


@dataclass(frozen=True)
class Row:
    """A row whose image and class are sound.

    Args:
        line: line number in the file, the header being line 1.
        last: the last line of the row: another one where a quoted cell spans lines.
        cells: the cells as they stand in the file.
        image: a plain file name.
        class_id: a class within range.
        code: content of `EncodedPixels`, unchecked.
        first: line of the first row for the same image and class: its own, unless this one repeats it.
    """

    line: int
    last: int
    cells: list[str]
    image: str
    class_id: int
    code: str
    first: int

    @property
    def repetition(self) -> str | None:
        """What is wrong with a row that repeats another."""
        if self.first == self.line:
            return None
        return f"image {self.image}, class {self.class_id} was already given in row {self.first}"


@dataclass(frozen=True)
class Table:
    """A table whose header is sound.

    Args:
        layout: `defect_rows` has image and class in columns of their own, `all_rows` joins them.
        header: names of the columns, as they stand in the file.
        columns: name -> index, of the columns that the layout asks for.
        lines: lines of the file, with their ends and a byte order mark: put together, they are the file.
        rows: every row, or what is wrong with it, read from the text while they are asked for.
    """

    layout: Layout
    header: list[str]
    columns: dict[str, int]
    lines: list[str]
    rows: Iterator[Row | Fault]


def read_table(csv_path: Path, classes: range, classes_from: str, known_layouts: str) -> Table:
    """Read a table.

    Args:
        csv_path: UTF-8 text with commas; order of columns free, further columns and blank lines ignored.
        classes: the class numbers that there are.
        classes_from: the words that say so, for the message about others.
        known_layouts: the layouts that are read, for the message about others.

    Raises:
        TableError: where the file cannot be read, or its header is not that of a label table.
    """
    lines = read_lines(Path(csv_path), known_layouts)
    records = read_records(lines)
    header = next(records, None)
    if header is None:
        raise TableError(f"is empty; {known_layouts}")
    names = header[2]
    if isinstance(names, TableError):
        raise names
    layout, columns = _read_header([name.strip() for name in names], known_layouts)

    def rows() -> Iterator[Row | Fault]:
        first_lines: dict[tuple[str, int], int] = {}
        for line, last, cells in records:
            try:
                if isinstance(cells, TableError):
                    raise cells
                image, class_id = _read_key(cells, len(names), layout, columns, classes, classes_from)
            except TableError as error:
                yield Fault(Path(csv_path).name, str(error), line)
                continue
            first = first_lines.setdefault((image, class_id), line)
            yield Row(line, last, cells, image, class_id, cells[columns["EncodedPixels"]].strip(), first)

    return Table(layout, names, columns, lines, rows())


def read_lines(path: Path, expected: str) -> list[str]:
    """Read a file as UTF-8 text and keep its line ends and its byte order mark.

    Args:
        path: the file.
        expected: what should be there, for the message where nothing is.

    Raises:
        TableError: where the file cannot be read.
    """
    try:
        return list(io.StringIO(path.read_bytes().decode(), newline=""))
    except FileNotFoundError:
        raise TableError(f"does not exist; {expected}") from None
    except OSError as error:
        raise TableError(f"cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise TableError(f"is not UTF-8 text (byte {error.start + 1}); save it as CSV in UTF-8") from None


def read_records(lines: Sequence[str]) -> Iterator[tuple[int, int, list[str] | TableError]]:
    """First line, last line and cells of every record that is not blank, or what is wrong with it.

    Args:
        lines: the lines that `read_lines` returns. A quoted cell may span several.
    """
    marked = [line.removeprefix("\ufeff") for line in lines[:1]]
    reader = csv.reader(chain(marked, islice(lines, 1, None)), strict=True)
    while True:
        first = reader.line_num + 1
        try:
            with _cells_of_any_length():
                cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield first, reader.line_num, TableError(f"is not CSV ({error})")
            continue
        if any(cell.strip() for cell in cells):
            yield first, reader.line_num, cells


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """The limit of 131,072 characters a cell is too tight for the code of a large image; it is global, so put back."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_header(header: list[str], known_layouts: str) -> tuple[Layout, dict[str, int]]:
    """The layout, and where its columns are."""
    shown = ",".join(header)[:120]
    joined = "ImageId_ClassId" in header
    if joined and ("ImageId" in header or "ClassId" in header):
        raise TableError(f"the header mixes two layouts ({shown}); {known_layouts}")
    layout: Layout = "all_rows" if joined else "defect_rows"
    missing = [name for name in COLUMNS[layout] if name not in header]
    if missing:
        columns = f"column{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
        raise TableError(f"{columns} missing from the header ({shown}); {known_layouts}")
    twice = [name for name in COLUMNS[layout] if header.count(name) > 1]
    if twice:
        raise TableError(f"the header names {', '.join(twice)} more than once ({shown})")
    return layout, {name: header.index(name) for name in COLUMNS[layout]}


def _read_key(
    cells: list[str], width: int, layout: Layout, columns: Mapping[str, int], classes: range, classes_from: str
) -> tuple[str, int]:
    """Image id and class of a row, checked."""
    if len(cells) != width:
        other = ""
        if layout == "defect_rows" and _JOINED.search(cells[0].strip()):
            other = ", as in the layout ImageId_ClassId,EncodedPixels: two layouts are mixed"
        elif layout == "all_rows" and len(cells) == 3 and _WHOLE.fullmatch(cells[1].strip()):
            other = ", as in the layout ImageId,ClassId,EncodedPixels: two layouts are mixed"
        raise TableError(f"has {len(cells)} cell{'s' if len(cells) != 1 else ''}, the header has {width}{other}")
    if layout == "all_rows":
        joined = cells[columns["ImageId_ClassId"]].strip()
        image, mark, number = (part.strip() for part in joined.rpartition("_"))
        if not mark or not _WHOLE.fullmatch(number):
            raise TableError(f"ImageId_ClassId {joined[:80]!r} does not end in an underscore and a class (name.jpg_3)")
    else:
        image, number = (cells[columns[name]].strip() for name in ("ImageId", "ClassId"))
        if _JOINED.search(image):
            raise TableError(f"ImageId {image[:80]!r} names a class, as in the other layout: two layouts are mixed")
    if image in ("", ".", "..") or any(character in image for character in "/\\\0"):
        raise TableError(f"ImageId {image[:80]!r} is not a plain file name")
    if not _WHOLE.fullmatch(number):
        raise TableError(f"ClassId {number[:40]!r} is not a whole number")
    if int(number) not in classes:
        raise TableError(f"ClassId {int(number)} is outside {classes[0]} to {classes[-1]}: {classes_from}")
    return image, int(number)
