"""`history.csv`: a row an epoch."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytorch_lightning as pl

from steel_defects.core.files import write_table

log = logging.getLogger(__name__)


class HistoryWriter(pl.Callback):
    """Adds a row to `history.csv` at the end of each epoch: learning rate, losses, validation scores, speed.

    Rows of epochs that a resumed run is about to train again are dropped first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started = 0.0
        self.trained: float | None = None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Drop the rows of epochs that are trained again."""
        if trainer.is_global_zero and self.path.is_file():
            rows = pd.read_csv(self.path)
            write_table(self.path, rows[rows["epoch"] < trainer.current_epoch])

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start the clock of an epoch."""
        self.started, self.trained = time.perf_counter(), None

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Note when the training steps of the epoch were done."""
        self.trained = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Add the epoch's row to the file, and tell loggers its pace."""
        if not trainer.is_global_zero:
            return
        train_seconds = (self.trained or time.perf_counter()) - self.started
        row: dict[str, float] = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        row["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        row |= {key: float(value) for key, value in trainer.callback_metrics.items()}
        row["train_seconds"] = train_seconds
        row["iterations_per_second"] = trainer.num_training_batches / train_seconds
        old = pd.read_csv(self.path) if self.path.is_file() else pd.DataFrame()
        write_table(self.path, pd.concat([old, pd.DataFrame([row])], ignore_index=True))  # before anybody else is told
        for logger in trainer.loggers:  # what Lightning does not log by itself
            pace = {"lr": row["lr"], "it_per_s": row["iterations_per_second"], "seconds": train_seconds}
            values = {f"train/{key}": value for key, value in pace.items()}
            logger.log_metrics(values | {"epoch": trainer.current_epoch}, step=trainer.global_step - 1)
        self._say(trainer, row)

    def _say(self, trainer: pl.Trainer, row: Mapping) -> None:
        shown = {"train/loss": "loss", "val/loss": "validation loss", "val/miou": "miou"}
        values = ", ".join(f"{name} {row[key]:.3f}" for key, name in shown.items() if key in row)
        line = f"epoch {row['epoch'] + 1}/{trainer.max_epochs}: {values}, {row['train_seconds']:.0f} s"
        if trainer.progress_bar_callback is not None:
            trainer.progress_bar_callback.print(line)  # above the bar, not into it
        else:
            log.info(line)
