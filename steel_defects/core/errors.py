"""Errors that a user can mend: commands print their message alone and exit with 2; others keep their traceback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class UserError(Exception):
    """A mistake in a file, a path or a setting. The message says what is wrong and what to do about it."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a data set.

    Args:
        file: the file at fault, as the user knows it (relative to the data root).
        message: what is wrong and, where it is not obvious, the way out.
        row: line number in the file, the header being line 1; None where the whole file is meant.
        image: the `ImageId` that would have to be left out to be rid of the fault; None where leaving
            an image out would not help.
    """

    file: str
    message: str
    row: int | None = None
    image: str | None = None

    def __str__(self) -> str:
        place = self.file if self.row is None else f"{self.file}, row {self.row}"
        return f"{place}: {self.message}"


class DataFaults(UserError):
    """Everything found wrong with a data set, all at once.

    Args:
        faults: faults, at least one.
        way_out: a closing sentence: what the user can do.
    """

    SHOWN = 40

    def __init__(self, faults: Sequence[Fault], way_out: str = "") -> None:
        self.faults = list(faults)
        self.way_out = way_out
        super().__init__(self.faults, way_out)

    def __str__(self) -> str:
        count = len(self.faults)
        lines = [f"{count} fault{'s' if count > 1 else ''} in the data:"]
        lines += [f"  {fault}" for fault in self.faults[: self.SHOWN]]
        if count > self.SHOWN:
            lines.append(f"  … and {count - self.SHOWN} more")
        if self.way_out:
            lines.append(self.way_out)
        return "\n".join(lines)
