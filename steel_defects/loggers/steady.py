"""What stands between the Trainer and a logger, so that a server that fails does not stop the training."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl

log = logging.getLogger(__name__)


class Steady(pl.loggers.Logger):
    """Tells a logger of Lightning's what the Trainer says, until it fails; that is said once, and the net trains on.

    It is not asked again for each batch and epoch: a server that is gone may take minutes to say so, every time.

    Args:
        logger: is told.
        title: what it goes by in messages.
    """

    def __init__(self, logger: pl.loggers.Logger, title: str) -> None:
        super().__init__()
        self._logger, self._title = logger, title
        self.failed = False

    @property
    def name(self) -> str | None:
        """Name of the logger that is told."""
        return self._logger.name

    @property
    def version(self) -> int | str | None:
        """Version of the logger that is told."""
        return self._logger.version

    @property
    def save_dir(self) -> str | None:
        """Folder of the logger that is told; None where it has none."""
        return self._logger.save_dir

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Tell it scores by name."""
        self.tell(lambda: self._logger.log_metrics(dict(metrics), step))

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: object, **kwargs: object) -> None:
        """Tell it the settings."""
        self.tell(lambda: self._logger.log_hyperparams(params, *args, **kwargs))

    def save(self) -> None:
        """Tell it to write what it holds back."""
        self.tell(self._logger.save)

    def finalize(self, status: str) -> None:
        """Tell it that the training ended, and how."""
        self.tell(lambda: self._logger.finalize(status))

    def tell(self, tell: Callable[[], object]) -> None:
        """Do something that tells the logger, unless it has failed."""
        if self.failed:
            return
        try:
            tell()
        except Exception as error:  # each library has errors of its own
            self.failed = True
            log.error(
                "%s failed and is told no more until the net is tested; the run folder has everything: %s",
                self._title,
                error,
            )
