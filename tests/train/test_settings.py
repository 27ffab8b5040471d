"""What a resumed run takes of its own settings, and what of those given now."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder
from steel_defects.train.settings import TrainSettings, read_settings, resumed_settings


@pytest.fixture
def resume(tmp_path):
    """Settings of a run that began with some overrides and goes on with others."""

    def go_on(began: list[str], *overrides: str, logger: dict | None = None) -> TrainSettings:
        run = RunFolder(tmp_path)
        for path in (run.config, run.last, run.split):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            saved = compose("train", began)
            if logger is not None:  # as an earlier version wrote it
                saved = OmegaConf.merge({key: saved[key] for key in saved if key != "logger"}, {"logger": logger})
            OmegaConf.save(saved, run.config)
            return resumed_settings(compose("train", [f"resume={tmp_path}", *overrides]), overrides)

    return go_on


def test_a_resume_of_nothing_is_no_new_run():
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("train", ["resume="])
    with pytest.raises(UserError, match="resume= names no run folder"):
        read_settings(cfg, ["resume="], sweep=False)


OWN = ["logger=wandb", "logger.project=plant", "logger.entity=team", "logger.mode=offline", "logger.log_model=true"]


def test_a_logger_that_is_added_changes_nothing_of_the_others(resume):
    own = resume(OWN).logger
    both = resume(OWN, "logger=[wandb,tensorboard]").logger
    assert both == own.changed({"tensorboard": True})
    assert (own.project, own.entity, own.mode, own.log_model) == ("plant", "team", "offline", True)


def test_a_logger_can_be_left_out_and_its_settings_given_anew(resume):
    without = resume(OWN, "logger=csv").logger
    assert (without.wandb, without.log_model) == (False, False), "nothing keeps the checkpoint now"
    changed = resume(OWN, "logger=wandb", "logger.mode=online").logger
    assert changed == resume(OWN).logger.changed({"mode": "online"})


def test_a_logger_that_the_run_did_not_have_comes_with_its_defaults(resume):
    new = resume(["seed=2"], "logger=mlflow").logger
    assert (new.mlflow, new.wandb, new.tracking_uri) == (True, False, None)


def test_runs_of_an_earlier_version_keep_their_logger(resume):
    earlier = {"kind": "wandb", "project": "plant", "entity": None, "mode": "offline", "tags": []}
    kept = resume([], logger=earlier | {"num_images": 4, "every_n_epochs": 5}).logger
    assert kept.wandb
    assert not kept.tensorboard
    assert (kept.project, kept.mode, kept.log_model, kept.table_images) == ("plant", "offline", False, 48)
    none = resume([], logger={"kind": "csv"}).logger
    assert not any(getattr(none, name) for name in ("wandb", "tensorboard", "mlflow"))


def test_what_would_make_it_another_run_is_refused(resume):
    with pytest.raises(UserError, match=r"leave out: recipe\.lr"):
        resume([], "recipe.lr=1")


def test_the_split_is_the_runs_own(resume, tmp_path):
    assert Path(resume(["data.split.file=elsewhere.csv"]).data.split.file) == tmp_path / "split.csv"


def test_a_run_of_an_earlier_version_goes_on_with_its_device_or_the_one_given_now(resume, tmp_path):
    assert resume(["trainer=cpu"]).trainer.device == "cpu"
    path = RunFolder(tmp_path).config
    earlier = OmegaConf.load(path)
    earlier.trainer.pop("device")
    earlier.trainer.accelerator, earlier.trainer.precision = "cpu", "bf16-mixed"
    OmegaConf.save(earlier, path)
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        kept = resumed_settings(compose("train", [f"resume={tmp_path}"]), []).trainer
        given = ["trainer.device=auto"]
        changed = resumed_settings(compose("train", [f"resume={tmp_path}", *given]), given).trainer
    assert (kept.device, kept.precision) == ("cpu", "bf16")
    assert (changed.device, changed.precision) == ("auto", "bf16")
