"""What commands print, and how they end on a user's mistake."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Mapping
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from steel_defects.core.errors import UserError
from steel_defects.core.packages import missing_packages


def quiet_libraries() -> None:
    """Silence what libraries say that a user cannot act on; what they can, the commands say themselves."""
    for name in ("pytorch_lightning.utilities.rank_zero", "pytorch_lightning.accelerators.cuda", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.trainer.connectors.checkpoint_connector").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric.utilities.distributed").setLevel(
        logging.WARNING
    )  # each process says it is there
    for message in (
        ".*treespec, LeafSpec.*is deprecated.*",  # between Lightning and torch
        ".*does not have many workers.*",
        ".*The number of training batches.*smaller than the logging interval.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*recommended to use `self.log.*sync_dist=True.*",  # scores are equal on all processes already
        ".*Using `DistributedSampler` with the dataloaders.*",  # repeated images are counted once
        ".*lr_scheduler.step.*before.*optimizer.step.*",  # 16-mixed skips its first steps by design
    ):
        warnings.filterwarnings("ignore", message=message)


def stop(error: Exception) -> NoReturn:
    """Print a user's mistake, without a traceback, and end the command with exit code 2."""
    console = Console(stderr=True, soft_wrap=True)
    console.print("[bold red]Error[/]", end=" ")
    console.print(str(error), markup=False, highlight=False)
    sys.exit(2)


def require(extra: str, way_out: str) -> None:
    """End the command with exit code 2 where packages of an extra are missing, before their import fails."""
    if missing := missing_packages(extra):
        stop(UserError(f"this command needs {', '.join(missing)}, not installed here: {way_out}"))


def wide_console() -> Console:
    """For tables and sentences: as wide as the terminal, and 100 columns where nothing tells how wide that is."""
    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 100, soft_wrap=True)


def print_scores(title: str, columns: Mapping[str, Mapping[str, float | None]]) -> None:
    """Print a table of scores.

    Args:
        title: above the table.
        columns: for each column its heading and its scores by key; all share their keys.
    """
    console = wide_console()
    console.print(title, markup=False, highlight=False)  # a table's own title would be folded to its width
    table = Table()
    table.add_column("score")
    for heading in columns:
        table.add_column(heading, justify="right")
    for key in next(iter(columns.values())):
        values = [column.get(key) for column in columns.values()]
        table.add_row(key, *("-" if value is None or value != value else f"{value:.3f}" for value in values))
    console.print(table)
