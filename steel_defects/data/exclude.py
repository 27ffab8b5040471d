"""Images that a reviewer wants left out: `data.exclude=<file>`."""

from __future__ import annotations

from collections.abc import Collection
from itertools import zip_longest
from pathlib import Path

from steel_defects.core.errors import DataFaults, Fault, UserError
from steel_defects.data.label_table import TableError, read_lines, read_records

VERDICTS = ("keep", "accept", "exclude")  # of a reviewer, on what an audit has found; empty: not looked at


def read_excluded(path: Path, image_ids: Collection[str]) -> frozenset[str]:
    """Read which images are to be left out.

    Args:
        path: CSV with a column `ImageId`. With a column `verdict`, as an audit's reviewed table has it, the rows with
            `exclude` count; without one all rows do. Further columns and the order of rows do not matter.
        image_ids: the images of the data set.

    Returns:
        Ids of the images to leave out.

    Raises:
        UserError: where the file cannot be read.
        DataFaults: all faults at once: missing column, unknown verdicts, images that the data set does not have.
    """
    way_out = "Mend the file, or set data.exclude to null to leave nothing out."
    try:
        records = read_records(read_lines(Path(path).expanduser(), "data.exclude names a CSV with a column ImageId"))
        _, _, header = next(records, (1, 1, []))
    except TableError as error:
        raise UserError(f"data.exclude={path} {error}") from error
    columns = [] if isinstance(header, TableError) else [_known(name.strip()) for name in header]
    if "ImageId" not in columns:
        message = f"column ImageId is missing; there are: {', '.join(columns)}"
        raise DataFaults([Fault(str(path), message, 1)], way_out)

    faults, excluded = [], set()
    for line, _, cells in records:
        if isinstance(cells, TableError):
            faults.append(Fault(str(path), str(cells), line))
            continue
        row = dict(zip_longest(columns, cells[: len(columns)], fillvalue=""))
        image_id = row["ImageId"].strip()
        verdict = row["verdict"].strip().lower() if "verdict" in row else "exclude"
        if verdict not in ("", *VERDICTS):
            faults.append(Fault(str(path), f"unknown verdict {verdict!r}: it takes {', '.join(VERDICTS)}", line))
        elif verdict == "exclude" and image_id not in image_ids:
            faults.append(Fault(str(path), f"image {image_id!r} is not in the data set", line))
        elif verdict == "exclude":
            excluded.add(image_id)
    if faults:
        raise DataFaults(faults, way_out)
    return frozenset(excluded)


def _known(name: str) -> str:
    """A column's name; `Verdict` is what some spreadsheets make of it, and must not count for none."""
    return "verdict" if name.lower() == "verdict" else name
