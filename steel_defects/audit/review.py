"""Reading `audit.csv` once a reviewer has filled in the verdicts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from steel_defects.core.errors import DataFaults, Fault
from steel_defects.data import rle as rle_code
from steel_defects.data.exclude import VERDICTS
from steel_defects.data.label_table import TableError, read_lines, read_records

NEEDED = ("ImageId", "verdict", "class_id", "suggested_class_id", "marked", "suggested")
CUT = 32_767  # characters of a cell, of which spreadsheets keep no more

_CLASS = re.compile(r"([0-9]{1,9})(?:\.0*)?", re.ASCII)  # spreadsheets and pandas write 1.0 where cells are empty
_WAY_OUT = "Mend the file, or empty the verdict of the rows named."


@dataclass(frozen=True)
class Change:
    """An accepted row.

    Args:
        row: line number in the file, the header being line 1.
        class_id: the class to take away; 0 for nothing.
        suggested_id: the class to draw; 0 for nothing.
        marked, suggested: run-length codes of their pixels, which fit the image; empty where the class is 0.
    """

    row: int
    class_id: int
    suggested_id: int
    marked: str
    suggested: str


@dataclass(frozen=True)
class Review:
    """What a reviewer decided.

    Args:
        path: the file.
        accepted: image id -> accepted rows, of the images that have any.
        excluded: ids of the images to leave out, which `data.exclude=<path>` does.
        verdicts: verdict -> rows; under the empty one, those not looked at.
    """

    path: Path
    accepted: Mapping[str, Sequence[Change]]
    excluded: frozenset[str]
    verdicts: Mapping[str, int]


def read_review(
    path: Path, image_ids: Collection[str], sizes: Mapping[str, tuple[int, int]], classes: Sequence[str]
) -> Review:
    """Read a reviewed `audit.csv` as spreadsheets and pandas write it.

    Args:
        path: UTF-8 text with commas; order of columns free, further columns and blank lines ignored.
        image_ids: ids of all images of the data set.
        sizes: image id -> (height, width) in pixels, of the images that could be read.
        classes: names of the defect classes.

    Raises:
        DataFaults: everything wrong with the file, by row. Of rows that are not accepted, only verdict and image are
            looked at.
    """
    path = Path(path).expanduser()
    try:
        header, rows = _read_rows(path)
    except TableError as error:
        raise DataFaults([Fault(str(path), str(error))], _WAY_OUT) from None
    faults: list[Fault] = []
    accepted: dict[str, list[Change]] = {}
    excluded: set[str] = set()
    verdicts: Counter[str] = Counter()
    for line, cells in rows:
        if isinstance(cells, TableError):
            faults.append(Fault(str(path), str(cells), line))
            continue
        row = dict(zip(header, cells, strict=False))
        image, verdict = row["ImageId"].strip(), row["verdict"].strip().lower()
        problems = []
        if verdict not in ("", *VERDICTS):
            problems.append(f"unknown verdict {verdict[:40]!r}: it takes {', '.join(VERDICTS)}, or stays empty")
        if image not in image_ids:
            problems.append(f"image {image[:80]!r} is not in the data set")
        elif verdict == "accept" and image not in sizes:
            problems.append(f"image {image} cannot be read, and its labels cannot be corrected")
        elif verdict == "accept":
            change = _read_change(line, row, sizes[image], len(classes))
            if isinstance(change, Change):
                accepted.setdefault(image, []).append(change)
            else:
                problems = change
        elif verdict == "exclude":
            excluded.add(image)
        verdicts[verdict] += 1
        faults += [Fault(str(path), message, line) for message in problems]
    for image, changes in accepted.items():
        faults += [Fault(str(path), *problem) for problem in _contradictions(image, changes, sizes[image], classes)]
    if faults:
        raise DataFaults(sorted(faults, key=lambda fault: fault.row or 0), _WAY_OUT)
    return Review(path, accepted, frozenset(excluded), verdicts)


def has_verdicts(path: Path) -> bool:
    """Whether a reviewer has filled in any verdict; of a file that cannot be read, it is better to think so."""
    try:
        header, rows = _read_rows(path)
    except TableError:
        return True
    at = header.index("verdict")
    return any(isinstance(cells, TableError) or cells[at].strip() for _, cells in rows)


def _read_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str] | TableError]]]:
    """The header, and line and cells of each row, as many as the header has."""
    records = read_records(read_lines(path, "an audit writes it as audit.csv"))
    header = next(records, (1, 1, TableError("is empty")))[2]
    if isinstance(header, TableError):
        raise header
    header = [name.strip() for name in header]
    missing = [name for name in NEEDED if name not in header]
    other = next((mark for mark in (";", "\t") if len(header) == 1 and mark in header[0]), None)
    if other:
        mark = "semicolons" if other == ";" else "tabs"
        raise TableError(f"its columns are separated by {mark}; save it as CSV with commas, in UTF-8")
    if missing:
        columns = f"column{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
        raise TableError(f"{columns} missing from the header ({','.join(header)[:120]})")
    if twice := [name for name in NEEDED if header.count(name) > 1]:
        raise TableError(f"the header names {', '.join(twice)} more than once")

    def rows() -> Iterator[tuple[int, list[str] | TableError]]:
        for line, _, cells in records:
            if isinstance(cells, list) and any(cell.strip() for cell in cells[len(header) :]):
                cells = TableError(f"has {len(cells)} cells, the header has {len(header)}")
            elif isinstance(cells, list):
                cells = cells + [""] * (len(header) - len(cells))  # some spreadsheets drop empty cells at the end
            yield line, cells

    return header, rows()


def _read_change(line: int, row: Mapping[str, str], size: tuple[int, int], num_classes: int) -> Change | list[str]:
    """An accepted row, or what is wrong with it."""
    problems: list[str] = []
    ids: dict[str, int] = {}  # without those that are no number
    for column in ("class_id", "suggested_class_id"):
        text = row[column].strip()
        match = _CLASS.fullmatch(text)
        if text and not match:
            problems.append(f"{column} {text[:40]!r} is not a whole number")
            continue
        ids[column] = int(match[1]) if match else 0
        if ids[column] > num_classes:
            problems.append(
                f"{column} {ids[column]} is outside 1 to {num_classes}: data.classes names {num_classes} classes"
            )
    for name, column in (("marked", "class_id"), ("suggested", "suggested_class_id")):
        if fault := _code_fault(row[name], row.get(f"{name}_px", "").strip(), size):
            problems.append(f"{name}: {fault}")
        elif column in ids and bool(row[name].strip()) != bool(ids[column]):
            problems.append(
                f"{column} is given, {name} is empty" if ids[column] else f"{name} is given, {column} is not"
            )
    if not problems and not any(ids.values()):
        problems.append("is accepted, and neither marks nor suggests anything")
    if problems:
        return problems
    return Change(line, ids["class_id"], ids["suggested_class_id"], row["marked"].strip(), row["suggested"].strip())


def _code_fault(cell: str, pixels: str, size: tuple[int, int]) -> str | None:
    """What is wrong with a code, which should have so many pixels if they are given."""
    cut = f"the cell has exactly {CUT:,} characters, where spreadsheets cut: take the code from the audit's own file"
    try:
        starts, ends = rle_code.parse(cell, size)
    except rle_code.RLEError as error:
        return f"{error}; {cut}" if len(cell) == CUT else str(error)
    # What is left of a code that was cut may well be a code.
    return cut if len(cell) == CUT and str((ends - starts).sum()) != pixels else None


def _contradictions(
    image: str, changes: Sequence[Change], size: tuple[int, int], classes: Sequence[str]
) -> Iterator[tuple[str, int]]:
    """Messages and rows where a pixel is given to two classes."""
    drawn = [(change, rle_code.decode(change.suggested, *size)) for change in changes if change.suggested_id]
    for (first, pixels), (second, others) in combinations(drawn, 2):
        if first.suggested_id != second.suggested_id and (shared := int((pixels & others).sum())):
            names = f"{classes[second.suggested_id - 1]}, and row {first.row} to {classes[first.suggested_id - 1]}"
            count = f"{shared} pixel{'s' if shared > 1 else ''}"
            yield f"image {image}: gives {count} to {names}; accept one of the two", second.row
