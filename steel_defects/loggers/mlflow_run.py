"""MLflow: numbers and settings, figures and, if asked for, the best checkpoint as artifacts."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from filelock import FileLock

from steel_defects.core.errors import UserError
from steel_defects.loggers.base import Results, RunLogger, Start

log = logging.getLogger(__name__)


@contextlib.contextmanager
def _told(uri: str) -> Iterator[None]:
    """What goes wrong in the beginning is the user's to mend, whichever library says so."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(
            f"MLflow at {uri}: {reason} (logger.tracking_uri names another server, logger=csv does without it)"
        ) from error


class PlainNames(pl.loggers.MLFlowLogger):
    """Lightning's logger, with `class_1` for the name of a class that MLflow cannot take in the name of a score.

    Lightning leaves out the signs that MLflow refuses, and classes in other scripts than Latin would go by one name.

    Args:
        classes: names of the defect classes.
        given: arguments of Lightning's class.
    """

    def __init__(self, classes: Sequence[str], **given: Any) -> None:
        super().__init__(**given)
        odd = {name: f"class_{c}" for c, name in enumerate(classes, start=1) if name != _plain(name)}
        self._endings = {f"_{name}": f"_{plain}" for name, plain in odd.items()}

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log scores by name, with the names of classes that MLflow takes."""
        super().log_metrics({self._named(key): value for key, value in metrics.items()}, step)

    def _named(self, key: str) -> str:
        ending = next((ending for ending in self._endings if key.endswith(ending)), "")
        return key.removesuffix(ending) + self._endings.get(ending, "")


class MLflowRun(RunLogger):
    """One MLflow run a run, on the server that is named, or in `mlflow.db` in the working directory."""

    name = "MLflow"
    lightning: PlainNames | None = None
    _closed = False

    def begin(self, start: Start) -> None:
        """Begin a run on the server, or go on with the one that the run folder names."""
        for name in ("alembic", "mlflow.store.db.utils", "pytorch_lightning.loggers.mlflow"):
            logging.getLogger(name).setLevel(logging.ERROR)  # it tells of every table that it makes
        self._environment = os.environ.get("MLFLOW_TRACKING_URI")  # which MLflow changes for the whole process
        options = start.options
        uri = options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or start.known_id("mlflow_uri")
        local = not uri
        uri = uri or f"sqlite:///{Path.cwd() / 'mlflow.db'}"
        known = start.known_id("mlflow") if uri == start.known_id("mlflow_uri") else None  # elsewhere it is a new run
        self.fresh = known is None
        self._log_model = options.log_model
        labels = dict.fromkeys(start.tags, "") | dict.fromkeys(options.tags, "")
        # A data base that is not there yet is made by the first of several jobs alone.
        with _told(uri), FileLock(Path.cwd() / ".mlflow.lock") if local else contextlib.nullcontext():
            self.lightning = PlainNames(
                start.classes,
                experiment_name=options.project,
                run_name=start.system,
                tracking_uri=uri,
                # Beside the data base, which would else name a folder relative to where each run was started.
                artifact_location=(Path.cwd() / "mlartifacts").as_uri() if local else None,
                tags={_plain(label): value for label, value in labels.items()} | {"sweep": start.sweep or ""},
                run_id=known,
            )
            assert self.lightning.run_id is not None  # given, or asked for by Lightning as it is made
            start.keep_id("mlflow", self.lightning.run_id)
            start.keep_id("mlflow_uri", uri)
            if known is None:  # MLflow refuses to change a parameter
                self.lightning.log_hyperparams(dict(start.config))
            else:
                self.lightning.experiment.update_run(known, status="RUNNING")
        log.info("MLflow: %s, run %s", uri, self.lightning.run_id)

    def publish(self, results: Results) -> None:
        """Figures and tables of the run folder; with `logger.log_model`, what makes it usable elsewhere."""
        assert self.lightning is not None, "begin sets it"
        client, run_id = self.lightning.experiment, self.lightning.run_id
        for path in (results.run.per_image, *sorted(results.run.figures.glob("*.png"))):
            client.log_artifact(run_id, str(path), path.parent.name if path.suffix == ".png" else None)
        if self._log_model:
            for path in results.run.portable():
                place = Path("run") / path.parent.relative_to(results.run.path)
                client.log_artifact(run_id, str(path), place.as_posix())

    def close(self, failed: bool) -> None:
        """End the run, and give the environment its tracking address back."""
        try:
            if self.lightning is not None and not self._closed:
                self._closed = True
                self.lightning.finalize("failed" if failed else "success")
        finally:
            if self._environment is None:
                os.environ.pop("MLFLOW_TRACKING_URI", None)
            else:
                os.environ["MLFLOW_TRACKING_URI"] = self._environment


def _plain(name: str) -> str:
    """A name as MLflow takes it: Latin letters, digits and a few signs."""
    return re.sub("[^a-zA-Z0-9_./ -]", " ", name).strip()
