"""Images that a reviewer wants left out: `data.exclude=<file>`."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

from steel_defects.errors import DataFaults, Fault, UserError

VERDICTS = ("keep", "accept", "exclude")  # of a reviewer, on what an audit has found; empty: not looked at


def read_excluded(path: Path, image_ids: Collection[str]) -> frozenset[str]:
    """Read which images are to be left out.

    Args:
        path: CSV with a column `ImageId`. With a column `verdict`, as an audit's reviewed table has it, the rows with
            `exclude` count; without one all rows do. Further columns and the order of rows do not matter.
        image_ids: of the data set.

    Returns:
        Ids of the images.

    Raises:
        UserError: where the file cannot be read.
        DataFaults: all faults at once: missing column, unknown verdicts, images that the data set does not have.
    """
    way_out = "Mend the file, or set data.exclude to null to leave nothing out."
    try:
        with Path(path).expanduser().open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"data.exclude={path} cannot be read: {reason}") from error
    if "ImageId" not in columns:
        message = f"column ImageId is missing; there are: {', '.join(columns)}"
        raise DataFaults([Fault(str(path), message, 1)], way_out)

    faults, excluded = [], set()
    for line, row in rows:
        image_id = (row["ImageId"] or "").strip()
        verdict = (row["verdict"] or "").strip().lower() if "verdict" in columns else "exclude"
        if verdict not in ("", *VERDICTS):
            faults.append(Fault(str(path), f"unknown verdict {verdict!r}: it takes {', '.join(VERDICTS)}", line))
        elif verdict == "exclude" and image_id not in image_ids:
            faults.append(Fault(str(path), f"image {image_id!r} is not in the data set", line))
        elif verdict == "exclude":
            excluded.add(image_id)
    if faults:
        raise DataFaults(faults, way_out)
    return frozenset(excluded)
