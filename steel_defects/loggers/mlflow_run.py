"""MLflow: numbers and settings, figures and, if asked for, the best checkpoint as artifacts."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytorch_lightning as pl

from steel_defects.errors import UserError
from steel_defects.loggers.base import Results, RunLogger, Start

log = logging.getLogger(__name__)


class MLflowRun(RunLogger):
    """One MLflow run a run, on the server that is named, or in `mlflow.db` in the working directory."""

    name = "MLflow"

    def __init__(self, start: Start) -> None:
        import mlflow

        self.errors = (mlflow.exceptions.MlflowException, OSError)
        for name in ("alembic", "mlflow.store.db.utils", "pytorch_lightning.loggers.mlflow"):
            logging.getLogger(name).setLevel(logging.ERROR)  # it tells of every table that it makes
        options = start.options
        uri = options["tracking_uri"] or os.environ.get("MLFLOW_TRACKING_URI")
        local = not uri
        uri = uri or f"sqlite:///{Path.cwd() / 'mlflow.db'}"
        known = start.known_id("mlflow")
        self.fresh = known is None
        self._log_model = options["log_model"]
        labels = dict.fromkeys(start.tags, "") | dict.fromkeys(options["tags"], "")
        try:
            self.lightning = pl.loggers.MLFlowLogger(
                experiment_name=options["project"],
                run_name=start.system,
                tracking_uri=uri,
                # Beside the data base, which would else name a folder relative to where each run was started.
                artifact_location=(Path.cwd() / "mlartifacts").as_uri() if local else None,
                tags={_plain(label): value for label, value in labels.items()} | {"sweep": start.sweep or ""},
                run_id=known,
            )
            start.keep_id("mlflow", self.lightning.run_id)
            if known is None:  # MLflow refuses to change a parameter
                self.lightning.log_hyperparams(dict(start.config))
            else:
                self.lightning.experiment.update_run(known, status="RUNNING")
        except mlflow.exceptions.MlflowException as error:
            raise UserError(
                f"MLflow at {uri}: {error.message.splitlines()[0]} (logger.tracking_uri names another server, "
                "logger=csv does without it)"
            ) from error
        log.info("MLflow: %s, run %s", uri, self.lightning.run_id)
        self._closed = False

    def publish(self, results: Results) -> None:
        """Figures and tables of the run folder; with `logger.log_model`, what makes it usable elsewhere."""
        client, run_id = self.lightning.experiment, self.lightning.run_id
        for path in (results.run.per_image, *sorted(results.run.figures.glob("*.png"))):
            client.log_artifact(run_id, str(path), path.parent.name if path.suffix == ".png" else None)
        if self._log_model:
            for path in results.run.portable():
                place = Path("run") / path.parent.relative_to(results.run.path)
                client.log_artifact(run_id, str(path), place.as_posix())

    def close(self, failed: bool) -> None:
        if not self._closed:
            self.lightning.finalize("failed" if failed else "success")
            self._closed = True


def _plain(label: str) -> str:
    """A tag's name as MLflow takes it: letters, digits and a few signs."""
    return "".join(sign if sign.isalnum() or sign in "_-./ " else " " for sign in label).strip()
