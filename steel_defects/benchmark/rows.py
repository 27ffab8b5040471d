"""What was measured: a row for each system, size, engine and measure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from steel_defects.core.files import write_rows

NET, LATENCY, LOAD = "net only", "latency", "load only"
END_TO_END, WITH_OVERLAYS, TRAIN = "end to end", "end to end with overlays", "train"
UNITS = {LATENCY: "ms", TRAIN: "it/s"}  # all others: images/s
# What the ratios of a measure are to, within the same round.
RATIO_TO = {NET: "pytorch-fp32", END_TO_END: NET, WITH_OVERLAYS: NET, TRAIN: "fp32"}
INT8 = "offered only where export finds it accurate"


@dataclass(frozen=True)
class Row:
    """One measure.

    Args:
        system: name; empty for what has none.
        size: (height, width) in pixels that the net works at, and of the images unless they are the user's.
        engine: name; of a training the precision; empty where there is none.
        measure: one of the names above.
        values: a number a round; none where it could not be measured.
        ratios: ratio of each round to what `RATIO_TO` names.
        device: what it ran on.
        threads: threads of the CPU; None on a GPU.
        note: why there are no values, or what else to know.
    """

    system: str
    size: tuple[int, int]
    engine: str
    measure: str
    values: Sequence[float] = ()
    ratios: Sequence[float] = ()
    device: str = ""
    threads: int | None = None
    note: str = ""

    @property
    def median(self) -> float:
        """Median over the rounds, in `unit`."""
        return statistics.median(self.values)

    @property
    def unit(self) -> str:
        """Unit of the values: images/s unless the measure has another."""
        return UNITS.get(self.measure, "images/s")

    def as_dict(self) -> dict:
        """Plain values; median, least and greatest of all rounds beside the rounds themselves."""
        return {
            "system": self.system,
            "size": size_name(self.size),
            "engine": self.engine,
            "measure": self.measure,
            "unit": self.unit,
            **_spread("", self.values),
            "ratio_to": RATIO_TO.get(self.measure, "") if self.ratios else "",
            **_spread("ratio_", self.ratios),
            "rounds": list(self.values),
            "ratio_rounds": list(self.ratios),
            "device": self.device,
            "threads": self.threads,
            "note": self.note,
        }


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows; the numbers of the rounds stand in one field, with blanks between."""
    write_rows(path, list(Row("", (0, 0), "", NET).as_dict()), (map(_field, row.as_dict().values()) for row in rows))


def _field(value: object) -> object:
    if isinstance(value, list):
        return " ".join(f"{number:.6g}" for number in value)
    return f"{value:.6g}" if isinstance(value, float) else value


def pick(
    rows: Iterable[Row],
    measure: str,
    system: str | None = None,
    size: tuple[int, int] | None = None,
    engine: str | None = None,
) -> list[Row]:
    """The rows of a measure, and of a system, a size, an engine where one is named."""
    return [
        row
        for row in rows
        if row.measure == measure
        and system in (None, row.system)
        and size in (None, row.size)
        and engine in (None, row.engine)
    ]


def fastest(rows: Iterable[Row]) -> Row | None:
    """The row with the greatest median, None where none has values."""
    return max((row for row in rows if row.values), key=lambda row: row.median, default=None)


def size_name(size: tuple[int, int]) -> str:
    """`256x1600`."""
    return "x".join(map(str, size))


def _spread(prefix: str, values: Sequence[float]) -> dict[str, float | None]:
    numbers = (statistics.median(values), min(values), max(values)) if values else (None, None, None)
    return dict(zip((f"{prefix}median", f"{prefix}min", f"{prefix}max"), numbers, strict=True))
