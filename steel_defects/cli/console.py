"""What commands print, and how they end on a user's mistake."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from steel_defects.core.errors import DataFaults, UserError
from steel_defects.core.packages import missing_packages
from steel_defects.core.runs import RunFolder, write_faults
from steel_defects.page.sheet import Sheet

if TYPE_CHECKING:
    from steel_defects.page.content import Report

log = logging.getLogger(__name__)


def quiet_libraries() -> None:
    """Silence what libraries say that a user cannot act on; what they can, the commands say themselves."""
    for name in ("pytorch_lightning.utilities.rank_zero", "pytorch_lightning.accelerators.cuda", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.trainer.connectors.checkpoint_connector").setLevel(logging.WARNING)
    # Each process would say that it is there.
    logging.getLogger("lightning_fabric.utilities.distributed").setLevel(logging.WARNING)
    for message in (
        ".*treespec, LeafSpec.*is deprecated.*",  # between Lightning and torch
        ".*does not have many workers.*",
        ".*The number of training batches.*smaller than the logging interval.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*recommended to use `self.log.*sync_dist=True.*",  # scores are equal on all processes already
        ".*Using `DistributedSampler` with the dataloaders.*",  # repeated images are counted once
        ".*lr_scheduler.step.*before.*optimizer.step.*",  # fp16 skips its first steps by design
    ):
        warnings.filterwarnings("ignore", message=message)


def stop(error: Exception) -> NoReturn:
    """Print a user's mistake, without a traceback, and end the command with exit code 2."""
    console = Console(stderr=True, soft_wrap=True)
    console.print("[bold red]Error[/]", end=" ")
    console.print(str(error), markup=False, highlight=False)
    sys.exit(2)


@contextmanager
def stopping(folder: RunFolder | None = None) -> Iterator[None]:
    """Stop at a user's mistake, see `stop`; faults of the data are listed in the folder as well."""
    try:
        yield
    except UserError as error:
        if folder is not None and isinstance(error, DataFaults):
            write_faults(folder.faults, error.faults)
        stop(error)


def require(extra: str) -> None:
    """End the command with exit code 2 where packages of an extra are missing, before their import fails."""
    if missing := missing_packages(extra):
        more = ', or "steel-defects[export]" to export and benchmark' if extra == "train" else ""
        way_out = f'pip install "steel-defects[{extra}]"{more}'
        stop(UserError(f"this command needs {', '.join(missing)}, not installed here: {way_out}"))


def wide_console() -> Console:
    """For tables and sentences: as wide as the terminal, and 100 columns where nothing tells how wide that is."""
    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 100, soft_wrap=True)


def say(*lines: str) -> None:
    """Print sentences as they are, whatever brackets they have."""
    wide_console().print(*lines, sep="\n", markup=False, highlight=False)


def print_sheets(*sheets: Sheet | None) -> None:
    """Print tables under their titles, as wide as `wide_console`; None is passed over."""
    for sheet in filter(None, sheets):
        wide_console().print(sheet.rich())


def print_report(report: Report, *sheets: Sheet) -> None:
    """Print tables, what a page finds in sentences, and what it leaves out."""
    print_sheets(*sheets)
    if report.findings:
        say(*report.findings)
    for omission in report.omissions:
        log.warning("Not reported, or not in full: %s", str(omission).splitlines()[0])


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[int] = (0,), red: Collection[int] = ()
) -> None:
    """Print a table with lines around it, as wide as `wide_console`.

    Args:
        headings: the names of the columns.
        rows: texts, as many as there are headings, whatever brackets they have.
        left: numbers of the columns that hold words and not numbers.
        red: numbers of the rows that failed.
    """
    table = Table()
    for i, heading in enumerate(headings):
        table.add_column(escape(heading), justify="left" if i in left else "right", overflow="fold")
    for i, row in enumerate(rows):
        table.add_row(*map(escape, row), style="red" if i in red else None)
    wide_console().print(table)


def print_scores(title: str, columns: Mapping[str, Mapping[str, float | None]]) -> None:
    """Print a table of scores.

    Args:
        title: the line above the table.
        columns: the scores of each column, by its heading and their keys; all share their keys.
    """
    say(title)  # a table's own title would be folded to its width
    scores = list(columns.values())
    print_table(["score", *columns], [[key, *(_score(column.get(key)) for column in scores)] for key in scores[0]])


def _score(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.3f}"
