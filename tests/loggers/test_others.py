"""TensorBoard and MLflow, read back by their own readers; several loggers at once; what is missing is named."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import wandb
from filelock import FileLock
from omegaconf import OmegaConf

from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder
from steel_defects.core.settings import read
from steel_defects.loggers.base import Results, Start
from steel_defects.loggers.mlflow_run import MLflowRun
from steel_defects.loggers.opening import check_loggers, open_loggers
from steel_defects.train.settings import TrainSettings
from steel_defects.train.training import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def logged(settings, tmp_path_factory):
    """A run that both loggers show, interrupted by nothing, in a working directory of its own."""
    pytest.importorskip("tensorboard")
    pytest.importorskip("mlflow")
    here = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        values = settings("logger=[tensorboard,mlflow]", "logger.log_model=true", "logger.tags=[a b]", "seed=3")
        run = RunFolder(here / "run")
        run.config.parent.mkdir(parents=True)
        OmegaConf.save(values.plain(), run.config)
        summary = train(values, run, sweep="today")
    return run, summary, here


def test_tensorboard_has_curves_scores_and_figures(logged):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, summary, _ = logged
    events = EventAccumulator(str(run.path / "tensorboard"), {"scalars": 0, "images": 0})
    events.Reload()
    history = run.read_history()
    for key, column in (("train/loss", "train/loss"), ("val/miou", "val/miou"), ("train/lr", "lr")):
        found = events.Scalars(key)
        np.testing.assert_allclose([event.value for event in found], history[column], rtol=1e-5)
        assert [event.step for event in found] == list(history["step"] - 1)
    for key in ("miou", "native_dice"):
        assert events.Scalars(f"test/{key}")[-1].value == pytest.approx(summary["test"][key], rel=1e-5)
    (picture,) = events.Images("figures/worst")
    drawn = cv2.imread(str(run.figures / "worst.png"))
    shown = cv2.imdecode(np.frombuffer(picture.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(shown, drawn)


def test_mlflow_has_curves_settings_and_the_model(logged):
    from mlflow import MlflowClient

    run, summary, here = logged
    client = MlflowClient(f"sqlite:///{here / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("steel_defects")
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.status, found.info.run_name) == ("FINISHED", summary["system"])
    assert (found.data.tags["sweep"], "a b" in found.data.tags) == ("today", True)
    assert found.data.params["encoder/name"] == "tu-test_efficientnet"
    assert found.data.params["machine/device"] == summary["device"]
    history = client.get_metric_history(found.info.run_id, "val/miou")
    np.testing.assert_allclose([point.value for point in history], run.read_history()["val/miou"], rtol=1e-6)
    assert found.data.metrics["test/native_miou"] == pytest.approx(summary["test"]["native_miou"], rel=1e-6)
    assert found.data.metrics["net/parameters"] == summary["parameters"]
    kept = Path(client.download_artifacts(found.info.run_id, "run", str(here)))
    assert (kept / "checkpoints/best.ckpt").read_bytes() == run.best.read_bytes()
    assert (kept / "split.csv").is_file()
    assert (kept / ".hydra/config.yaml").is_file()
    assert {file.path for file in client.list_artifacts(found.info.run_id, "figures")} >= {"figures/worst.png"}


def test_a_resumed_run_is_continued(logged, settings, monkeypatch):
    """The same MLflow run, and TensorBoard's curves go on."""
    from mlflow import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, _, here = logged
    monkeypatch.chdir(here)
    values = settings("logger=[tensorboard,mlflow]", "recipe.epochs=3", "figures=false", "seed=3")
    train(values, run)
    client = MlflowClient(f"sqlite:///{here / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("steel_defects").experiment_id])
    history = client.get_metric_history(found.info.run_id, "val/miou")
    np.testing.assert_allclose([point.value for point in history], run.read_history()["val/miou"], rtol=1e-6)
    assert len(history) == 3
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("val/miou")] == list(run.read_history()["step"] - 1)


def start(settings, folder: Path, *overrides: str, **changes) -> Start:
    values = {"system": "s", "sweep": None, "tags": [], "config": {}, "classes": ["rust"], "goes_on": False} | changes
    return Start(RunFolder(folder), settings(*overrides).logger, **values)


def test_classes_that_mlflow_cannot_name_keep_apart(settings, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with open_loggers(start(settings, tmp_path, "logger=mlflow", classes=["裂纹", "a+b", "rust"])) as (mlflow,):
        mlflow.lightning.log_metrics(
            {"val/jaccard": 1, "val/jaccard_裂纹": 2, "val/dice_a+b": 3, "val/dice_rust": 4}, 0
        )
        found = mlflow.lightning.experiment.get_run(mlflow.lightning.run_id).data.metrics
    assert found == {"val/jaccard": 1, "val/jaccard_class_1": 2, "val/dice_class_2": 3, "val/dice_rust": 4}


def test_none_is_none(settings, tmp_path):
    with open_loggers(start(settings, tmp_path, "logger=csv")) as loggers:
        assert loggers == []
    assert not list(tmp_path.iterdir())


def test_an_unreachable_server_is_named(settings, tmp_path):
    pytest.importorskip("mlflow")
    unknown = start(settings, tmp_path, "logger=mlflow", "logger.tracking_uri=nonsense://server")
    with pytest.raises(UserError, match=r"MLflow at nonsense://server.*logger\.tracking_uri"), open_loggers(unknown):
        pass


def test_missing_packages_are_named(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UserError) as caught:
        check_loggers(settings("logger=[tensorboard,mlflow]").logger)
    assert 'pip install "steel-defects[tensorboard]"' in str(caught.value)
    assert 'pip install "steel-defects[mlflow]"' in str(caught.value)


def test_each_logger_keeps_its_own_id(settings, tmp_path, monkeypatch):
    """Of a run that begins; a run that begins anew in the folder has no use for those of the one before."""
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    begin = start(settings, tmp_path, "logger=[wandb,mlflow]", "logger.mode=offline")
    with open_loggers(begin) as (wandb, mlflow):
        ids = {"wandb": wandb.lightning.experiment.id, "mlflow": mlflow.lightning.run_id}
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert json.loads(begin.run.loggers.read_text()) == ids | {"mlflow_uri": uri}
    with open_loggers(start(settings, tmp_path, "logger=mlflow")) as (mlflow,):
        assert json.loads(begin.run.loggers.read_text()) == {"mlflow": mlflow.lightning.run_id, "mlflow_uri": uri}
        assert mlflow.lightning.run_id != ids["mlflow"]


def test_what_fails_in_closing_is_named_and_the_others_are_closed(settings, tmp_path, monkeypatch, caplog):
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)

    def gone(self, failed: bool) -> None:
        raise ConnectionResetError("the server is gone")

    monkeypatch.setattr("steel_defects.loggers.tensorboard_run.TensorBoardRun.close", gone)
    values = settings("logger=[tensorboard,mlflow]", "recipe.epochs=1", "figures=false")
    run = RunFolder(tmp_path / "run")
    assert train(values, run)["status"] == run.read_summary()["status"] == "finished"
    assert "TensorBoard could not be closed: the server is gone" in caplog.text
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("steel_defects").experiment_id])
    assert found.info.status == "FINISHED"


def test_a_new_data_base_is_made_by_one_job_alone(settings, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    jobs: list[MLflowRun] = []
    job = threading.Thread(target=lambda: jobs.append(MLflowRun(start(settings, tmp_path, "logger=mlflow"))))
    with FileLock(tmp_path / ".mlflow.lock"):  # another job is at it
        job.start()
        job.join(1)
        assert job.is_alive()
        assert not (tmp_path / "mlflow.db").exists()
    job.join(120)
    assert (tmp_path / "mlflow.db").exists()
    jobs[0].close(failed=False)


def test_results_that_a_logger_cannot_take_are_not_lost(settings, tmp_path, monkeypatch, caplog):
    """The run is complete in its folder before anybody else is told."""
    pytest.importorskip("tensorboard")

    def full(self, results: Results) -> None:
        assert results.run.read_summary()["status"] == "finished"
        raise OSError("no space left on device")

    monkeypatch.setattr("steel_defects.loggers.tensorboard_run.TensorBoardRun.publish", full)
    summary = train(settings("logger=tensorboard", "recipe.epochs=1", "figures=false"), RunFolder(tmp_path))
    assert summary["status"] == "finished"
    assert "TensorBoard did not take the results" in caplog.text
    assert "no space left on device" in caplog.text


def test_a_logger_that_fails_while_the_net_trains_stops_nothing(settings, tmp_path, monkeypatch, caplog):
    """It is named once, and told no more until the net is tested; the other has all epochs."""
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    real, asked = MlflowClient.log_batch, []

    def away(self, run_id, metrics=(), **others):
        steps = {metric.step for metric in metrics}
        asked.append(steps)
        if len(asked) == 4:
            raise MlflowException("API request failed")
        return real(self, run_id, metrics=metrics, **others)

    monkeypatch.setattr(MlflowClient, "log_batch", away)
    run = RunFolder(tmp_path / "run")
    summary = train(settings("logger=[tensorboard,mlflow]", "recipe.epochs=4", "figures=false"), run)
    assert run.read_summary()["status"] == "finished"
    assert caplog.text.count("MLflow failed and is told no more") == 1
    assert "API request failed" in caplog.text
    events = event_accumulator.EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    assert len(events.Scalars("val/miou")) == 4
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("steel_defects").experiment_id])
    assert len(client.get_metric_history(found.info.run_id, "val/miou")) < 4
    assert found.data.metrics["net/parameters"] == summary["parameters"]  # told once the net is tested


@pytest.mark.parametrize("name", ["wandb", "mlflow", "tensorboard"])
def test_what_begins_and_fails_is_closed_and_leaves_no_trace(settings, tmp_path, monkeypatch, name):
    """The next job of a sweep runs in the same process, with the same environment."""
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    for variable in ("MLFLOW_TRACKING_URI", "WANDB_DATA_DIR"):
        monkeypatch.delenv(variable, raising=False)
    before = {key: value for key, value in os.environ.items() if key in ("MLFLOW_TRACKING_URI", "WANDB_DATA_DIR")}

    def full(self, logger: str, value: str) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Start, "keep_id", full)
    monkeypatch.setattr("pytorch_lightning.loggers.TensorBoardLogger.__init__", lambda *_, **__: full(None, "", ""))
    failing = start(settings, tmp_path, f"logger={name}", *(["logger.mode=offline"] if name == "wandb" else []))
    with pytest.raises((OSError, UserError), match="no space left on device"), open_loggers(failing):
        pass
    assert wandb.run is None
    assert before == {key: os.environ[key] for key in ("MLFLOW_TRACKING_URI", "WANDB_DATA_DIR") if key in os.environ}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wandb": True}, r"logger\.wandb=true: write logger=wandb"),
        ({"mlflow": True}, r"logger\.mlflow=true: write logger=mlflow"),
        ({"tags": "mytag"}, r"logger\.tags=mytag: a list of texts"),
        ({"tags": None}, r"logger\.tags=null: a list of texts"),
        ({"tags": [1]}, r"logger\.tags=\[1\]: a list of texts"),
    ],
)
def test_settings_of_loggers_that_are_none(composed, changes, message):
    values = composed()
    with pytest.raises(UserError, match=message):
        read(TrainSettings, values | {"logger": values["logger"] | changes})
