"""TensorBoard: curves and pictures, in the run folder. `tensorboard --logdir outputs` compares runs."""

from __future__ import annotations

import logging

import cv2
import pytorch_lightning as pl

from steel_defects.loggers.base import Results, RunLogger, Start

log = logging.getLogger(__name__)


class TensorBoardRun(RunLogger):
    """Event files in `<run folder>/tensorboard`; a run that goes on adds one."""

    name = "TensorBoard"
    lightning: pl.loggers.TensorBoardLogger | None = None

    def begin(self, start: Start) -> None:
        """Open a file of events in the run folder."""
        folder = start.run.path / "tensorboard"
        self.fresh = not any(folder.glob("events.*"))
        self._config = dict(start.config)
        self.lightning = pl.loggers.TensorBoardLogger(folder.parent, "", folder.name, default_hp_metric=False)
        log.info("TensorBoard: tensorboard --logdir %s", folder)

    def publish(self, results: Results) -> None:
        """The figures as pictures, and the settings with the test scores for the tab of hyperparameters."""
        assert self.lightning is not None, "begin sets it"
        writer = self.lightning.experiment
        for path in sorted(results.run.figures.glob("*.png")):
            picture = cv2.imread(str(path))
            assert picture is not None, f"{path} was drawn a moment ago"
            writer.add_image(f"figures/{path.stem}", cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dataformats="HWC")
        scores = {f"test/{key}": value for key, value in results.summary["test"].items()}
        self.lightning.log_hyperparams(self._config, scores)

    def close(self, failed: bool) -> None:
        """Write what is held back, and close the file."""
        if self.lightning is not None:
            self.lightning.finalize("failed" if failed else "success")
