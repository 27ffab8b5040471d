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
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from steel_defects.core.errors import Fault, UserError
from steel_defects.core.files import write_rows, write_whole

if TYPE_CHECKING:
    import pandas as pd


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
            what: the results to be written, for the message.

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
        import pandas as pd  # light commands and --help do without

        return pd.read_csv(self.history) if self.history.is_file() else pd.DataFrame()


def find_run(model: Path) -> RunFolder | None:
    """The run folder a model file lies in, `<run>/model.onnx` or `<run>/checkpoints/best.ckpt`; None outside of one."""
    for folder in list(Path(model).absolute().parents)[:2]:
        run = RunFolder(folder)
        if run.config.is_file() and run.split.is_file():
            return run
    return None


def write_json(path: Path, values: Mapping) -> None:
    """Write values as JSON, whole or not at all; NaN becomes null, which is what JSON has for it."""
    write_whole(path, (json.dumps(_plain(values), indent=2, allow_nan=False) + "\n").encode())


def write_faults(path: Path, faults: Sequence[Fault]) -> None:
    """Write faults as a table with columns file, row, message."""
    write_rows(path, ["file", "row", "message"], ([fault.file, fault.row, fault.message] for fault in faults))


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
