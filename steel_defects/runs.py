"""What a run folder holds, and who writes it. Everything else reads these files.

.hydra/            the run's configuration and overrides
split.csv          which image went where
skipped.csv        images left out (data.on_bad=skip), if any
faults.csv         what was wrong with the data, where the run stopped for it
checkpoints/       best.ckpt (by validation miou), last.ckpt (for resume)
history.csv        a row an epoch
per_image.csv      a row a test image
predictions.csv    a row for each class predicted in a test image: its run-length codes
summary.json       scores, sizes, speed, device, versions, seed
figures/*.png
loggers.json       ids of the run in W&B and MLflow, where it is logged there; wandb/, tensorboard/ their files
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytorch_lightning as pl
from omegaconf import OmegaConf

from steel_defects.errors import Fault, UserError
from steel_defects.files import write_whole

log = logging.getLogger(__name__)


class RunFolder:
    """Paths of a run, and its small files."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / ".hydra" / "config.yaml"
        self.split = self.path / "split.csv"
        self.skipped = self.path / "skipped.csv"
        self.faults = self.path / "faults.csv"
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"
        self.last = self.checkpoints / "last.ckpt"
        self.history = self.path / "history.csv"
        self.per_image = self.path / "per_image.csv"
        self.predictions = self.path / "predictions.csv"
        self.summary = self.path / "summary.json"
        self.figures = self.path / "figures"
        self.loggers = self.path / "loggers.json"

    def overrides(self) -> list[str]:
        """What was chosen on the command line when the run began; nothing where it was not started by one."""
        path = self.config.with_name("overrides.yaml")
        return list(OmegaConf.load(path)) if path.is_file() else []

    def portable(self) -> list[Path]:
        """The files that make another folder one that `evaluate`, `predict` and `export` take the net from."""
        return [path for path in (self.best, self.config, self.split) if path.is_file()]

    def must_be_free(self, what: str) -> None:
        """Refuse to write other results over those of a run.

        Args:
            what: is to be written, for the message.

        Raises:
            UserError: where there is a run.
        """
        if self.summary.exists():
            raise UserError(f"{self.path} holds a run; name another folder for the {what} with hydra.run.dir")

    def write_summary(self, summary: Mapping) -> None:
        """Write `summary.json`, see `write_json`."""
        write_json(self.summary, summary)

    def read_summary(self) -> dict:
        """Read `summary.json` back.

        Raises:
            UserError: where there is none, or it is broken.
        """
        try:
            return json.loads(self.summary.read_text())
        except FileNotFoundError as error:
            raise UserError(f"{self.path} holds no summary.json: the run did not come to its end") from error
        except ValueError as error:
            raise UserError(f"{self.summary} is broken: {error}") from error

    def read_history(self) -> pd.DataFrame:
        """`history.csv`, empty where no epoch has ended yet."""
        return pd.read_csv(self.history) if self.history.is_file() else pd.DataFrame()


def write_json(path: Path, values: Mapping) -> None:
    """Write values as JSON, whole or not at all; NaN becomes null, which is what JSON has for it."""
    write_whole(path, (json.dumps(_plain(values), indent=2, allow_nan=False) + "\n").encode())


def write_faults(path: Path, faults: Sequence[Fault]) -> None:
    """Write faults as a table with columns file, row, message."""
    table = pd.DataFrame(
        [(fault.file, fault.row, fault.message) for fault in faults], columns=["file", "row", "message"]
    )
    table["row"] = table["row"].astype("Int64")
    table.to_csv(path, index=False)


def _plain(value):
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        return _plain(value.tolist())
    return value


class HistoryWriter(pl.Callback):
    """Adds a row to `history.csv` at the end of each epoch: learning rate, losses, validation scores, speed.

    Rows of epochs that a resumed run is about to train again are dropped first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.is_global_zero and self.path.is_file():
            rows = pd.read_csv(self.path)
            self._write(rows[rows["epoch"] < trainer.current_epoch])

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.started, self.trained = time.perf_counter(), None

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.trained = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        train_seconds = (self.trained or time.perf_counter()) - self.started
        row = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        row["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        row |= {key: float(value) for key, value in trainer.callback_metrics.items()}
        row["train_seconds"] = train_seconds
        row["iterations_per_second"] = trainer.num_training_batches / train_seconds
        old = pd.read_csv(self.path) if self.path.is_file() else pd.DataFrame()
        self._write(pd.concat([old, pd.DataFrame([row])], ignore_index=True))  # before anybody else is told
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

    def _write(self, rows: pd.DataFrame) -> None:
        partial = self.path.with_suffix(".partial")
        rows.to_csv(partial, index=False)
        partial.replace(self.path)
