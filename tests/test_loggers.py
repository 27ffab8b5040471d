"""Weights & Biases offline: one run a job, closed in any case, with masks."""

from __future__ import annotations

import cv2
import pytest

from steel_defects.errors import UserError
from steel_defects.loggers import Wandb
from steel_defects.runs import RunFolder
from steel_defects.train import train

wandb = pytest.importorskip("wandb")


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))


def offline_run(folder):
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    return path


def test_two_jobs_are_two_closed_runs_with_masks(settings, tmp_path, caplog):
    ids = set()
    for seed in (1, 2):
        run = RunFolder(tmp_path / str(seed))
        with caplog.at_level("INFO"):
            train(
                settings("logger=wandb", "logger.every_n_epochs=2", f"seed={seed}", "figures=false"), run, sweep="today"
            )
        assert wandb.run is None, "the run is still open"
        ids.add(offline_run(run.path).stem)
        media = next(run.path.glob("wandb/offline-run-*/files/media/images"))
        assert 2 <= len(list(media.glob("val/overlays*.png"))) <= 4
        masks = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in media.glob("mask/val/overlays*.png")]
        assert all(mask.shape[:2] == (64, 64) and mask.max() <= 4 for mask in masks)
        assert sum(mask.any() for mask in masks) >= 2, "the truth of each image has a defect"
    assert len(ids) == 2
    assert "no API key" in caplog.text


def test_a_failing_job_closes_its_run(tmp_path):
    options = {"project": "p", "entity": None, "mode": "offline", "tags": []}

    def job():
        with Wandb(options, tmp_path, "name", "group", {"a": 1}):
            assert wandb.run.group == "group"
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        job()
    assert wandb.run is None
    assert offline_run(tmp_path).stat().st_size > 0


def test_unknown_mode(tmp_path):
    options = {"project": "p", "entity": None, "mode": "sometimes", "tags": []}
    with (
        pytest.raises(UserError, match=r"logger\.mode is auto, online or offline"),
        Wandb(options, tmp_path, "n", None, {}),
    ):
        pass


def test_metrics_reach_the_offline_file(settings, tmp_path):
    """Looks into the file that `wandb sync` would upload: protocol buffers, whose strings stand as they are."""
    run = RunFolder(tmp_path)
    train(settings("logger=wandb", "logger.mode=offline", "logger.every_n_epochs=2", "figures=false"), run)
    content = offline_run(run.path).read_bytes()
    for key in (b"train/loss", b"val/miou", b"test/native/miou", b"val/overlays", b"resnet18"):
        assert key in content, key
