"""Starts the loggers that a run asks for, and closes them whatever happens."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence

import pytorch_lightning as pl
import torch

from steel_defects.core.errors import UserError
from steel_defects.core.packages import package
from steel_defects.loggers.base import Results, RunLogger, Start
from steel_defects.loggers.mlflow_run import MLflowRun
from steel_defects.loggers.settings import LoggerSettings
from steel_defects.loggers.tensorboard_run import TensorBoardRun
from steel_defects.loggers.wandb_run import WandbRun

log = logging.getLogger(__name__)

_LOGGERS: dict[str, type[RunLogger]] = {"wandb": WandbRun, "tensorboard": TensorBoardRun, "mlflow": MLflowRun}


def check_loggers(options: LoggerSettings) -> None:
    """Refuse loggers whose packages are missing, before anything is trained for them.

    Raises:
        UserError: for all of it at once.
    """
    messages = []
    for name, needed in (("tensorboard", ["tensorboard"]), ("mlflow", ["mlflow", "sqlalchemy", "alembic"])):
        try:
            for module in needed if getattr(options, name) else ():
                package(module, name)
        except UserError as error:
            messages.append(f"logger={name}: {error}")
    if messages:
        raise UserError("\n".join(messages))


@contextlib.contextmanager
def open_loggers(start: Start) -> Iterator[list[RunLogger]]:
    """The loggers that `start.options` asks for.

    One that learns of the run only now, or whose earlier part lies elsewhere, is told of the epochs before; one that
    was left out for a while is not told of that while. What fails in closing is named, and changes nothing else.
    """
    if not start.goes_on:
        start.run.loggers.unlink(missing_ok=True)
    opened: list[RunLogger] = []
    failed = True
    try:
        for name, kind in _LOGGERS.items():
            if getattr(start.options, name):
                opened.append(kind(start))
                if start.goes_on and opened[-1].fresh:
                    _retell(opened[-1].steady, start)
        yield opened
        failed = False
    finally:
        for logger in opened:
            try:
                logger.close(failed)
            except Exception as error:  # a server or a process that is gone: each library has errors of its own
                log.error("%s could not be closed: %s", logger.name, error)


def publish(loggers: Sequence[RunLogger], results: Results) -> None:
    """Tell loggers what came out; one that cannot take it is named, and the others are told."""
    for logger in loggers:
        try:
            assert logger.lightning is not None, "begin sets it"
            logger.lightning.log_metrics(results.numbers())
            logger.publish(results)
        except Exception as error:  # each library has errors of its own; none is worth the results
            log.error("%s did not take the results, which are in %s: %s", logger.name, results.run.path, error)


def _retell(logger: pl.loggers.Logger, start: Start) -> None:
    names = {"lr": "train/lr", "train_seconds": "train/seconds", "iterations_per_second": "train/it_per_s"}
    # An epoch that was written down but not saved is trained again.
    saved = torch.load(start.run.last, map_location="cpu", weights_only=True, mmap=True)["global_step"]
    history = start.run.read_history()
    for row in history[history["step"] <= saved].rename(columns=names).to_dict("records") if len(history) else ():
        step = int(row.pop("step"))
        logger.log_metrics(row | {"epoch": int(row["epoch"])}, step=step - 1)
