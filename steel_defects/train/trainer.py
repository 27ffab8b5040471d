"""The Lightning Trainer of a run: device, precision, checkpoints, history."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import pandas as pd
import pytorch_lightning as pl
from pytorch_lightning.accelerators import CUDAAccelerator
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from steel_defects.core.errors import UserError
from steel_defects.core.files import write_table
from steel_defects.core.machine import LIGHTNING_PRECISIONS
from steel_defects.core.runs import RunFolder
from steel_defects.train.settings import TrainerSettings

log = logging.getLogger(__name__)


def build_trainer(settings: TrainerSettings, epochs: int, run: RunFolder) -> pl.Trainer:
    """Build the Trainer.

    Args:
        settings: settings of the trainer, see conf/trainer.
        epochs: number of epochs to train.
        run: the folder that checkpoints and history go to.

    Raises:
        UserError: where the machine lacks the device, or the precision does not go with it.
    """
    device = choose_device(settings.device)
    callbacks: list[Callback] = [
        Interrupts(),
        HistoryWriter(run.history),
        FirstCheckpoint(run),
        MovableCheckpoint(
            dirpath=run.checkpoints, filename="best", monitor="val/miou", mode="max", enable_version_counter=False
        ),
        # Saved after the history row: a run that is killed in between drops the row and trains that epoch again.
        MovableCheckpoint(
            dirpath=run.checkpoints, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
        ),
    ]
    if settings.early_stopping:
        # Without a defect in the validation split the score is NaN: no better, but no reason to stop at once.
        callbacks.append(EarlyStopping("val/miou", mode="max", patience=settings.early_stopping, check_finite=False))
    progress = settings.progress and sys.stderr.isatty()  # in a log file, a line an epoch says enough
    if progress:
        callbacks.append(Bars(leave=False))
    try:
        return pl.Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            strategy=settings.strategy,
            precision=_precision(settings.precision, device),  # type: ignore[arg-type] # Lightning refuses others
            max_epochs=epochs,
            gradient_clip_val=settings.gradient_clip_val,
            accumulate_grad_batches=settings.accumulate_grad_batches,
            callbacks=callbacks,
            enable_progress_bar=progress,
            enable_model_summary=False,
            logger=False,
            num_sanity_val_steps=0,
            default_root_dir=run.path,
        )
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise UserError(f"trainer: {error}") from error


def choose_device(asked: str) -> str:
    """`cuda` or `cpu`, for `auto` what there is.

    Raises:
        UserError: where there is no GPU though one is asked for.
    """
    there = CUDAAccelerator.is_available()
    if asked == "cuda" and not there:
        raise UserError(
            "trainer.device=cuda: PyTorch sees no GPU here. trainer=auto takes what there is, trainer=cpu the CPU"
        )
    return "cuda" if there and asked != "cpu" else "cpu"


def _precision(precision: str, device: str) -> str:
    """Lightning's word for it."""
    if precision == "auto":
        precision = "fp16" if device == "cuda" else "fp32"
    if precision in ("fp16", "16-true") and device == "cpu":
        # Lightning would turn it into bf16 by itself.
        raise UserError(f"trainer.precision={precision} needs a GPU; on a CPU take bf16 or fp32")
    return LIGHTNING_PRECISIONS.get(precision, precision)


def is_first_process() -> bool:
    """Whether this is the first of the processes that train a net together, or the only one."""
    return rank_zero_only.rank == 0  # type: ignore[attr-defined] # Lightning sets it on the function


class Bars(TQDMProgressBar):
    """Counts epochs from 1, as the lines and the history do."""

    def on_train_epoch_start(self, trainer: pl.Trainer, *args: object) -> None:
        """Say which epoch begins."""
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(f"Epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")


class MovableCheckpoint(ModelCheckpoint):
    """Keeps its best score when the run folder has been moved; Lightning forgets it with the old path."""

    def load_state_dict(self, state_dict: dict) -> None:
        """Restore the state, with all paths in the folder of now."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        state = dict(state_dict, dirpath=self.dirpath)
        state["best_k_models"] = {here(path): score for path, score in state["best_k_models"].items()}
        for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[key] = here(state[key])
        super().load_state_dict(state)


class HistoryWriter(Callback):
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


class Interrupts(Callback):
    """Sees to it that no Ctrl-C is lost.

    Python drops an exception that is raised while it cleans something up, or in some libraries' callbacks; with it the
    interrupt would be gone. So it is noted, too, and raised again before the next batch.
    """

    def __init__(self) -> None:
        self.asked = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Begin to note each Ctrl-C."""
        # Elsewhere than in the main thread, or where somebody else cares for it, nothing is changed.
        if threading.current_thread() is threading.main_thread() and _interrupts() is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)

    def teardown(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Leave Ctrl-C to Python again."""
        if _interrupts() == self._note:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.default_int_handler(number, frame)

    def _check(self) -> None:
        if self.asked:
            raise KeyboardInterrupt

    def on_train_batch_start(self, *args: object) -> None:
        """Raise a noted Ctrl-C."""
        self._check()

    def on_validation_batch_start(self, *args: object) -> None:
        """Raise a noted Ctrl-C."""
        self._check()

    def on_test_batch_start(self, *args: object) -> None:
        """Raise a noted Ctrl-C."""
        self._check()


def _interrupts() -> object:
    return signal.getsignal(signal.SIGINT)


class FirstCheckpoint(Callback):
    """Writes `last.ckpt` before the first step, so that a run stopped in its first epoch can go on, too."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write it, unless a run is gone on with."""
        if trainer.global_step == 0:
            trainer.save_checkpoint(self.run.last)
