"""Settings of an audit: what is refused, and what the nets of the folds are trained with."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.audit.settings import check, fold_settings
from steel_defects.core.errors import UserError
from steel_defects.core.settings import read
from steel_defects.loggers.opening import check_loggers
from steel_defects.loggers.settings import LOGGERS
from steel_defects.train.settings import TrainSettings


def audit_settings(*overrides: str) -> dict:
    """conf/audit.yaml, composed as the command does."""
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return OmegaConf.to_container(compose("audit", list(overrides)), resolve=True)


# What is refused.


@pytest.mark.parametrize(
    "overrides",
    [
        ["checkpoint=a.ckpt"],
        ["checkpoint=A.CKPT", "folds=0", "shown=0", "seed=0", "least=0", "spoil=0"],
        ["checkpoint=a.ckpt", "folds=2", "epochs=1", "threads=1", "size=[64,128]", "spoil=1", "least=1.0"],
        ["reviewed=audit.csv"],
        ["checkpoint=a.ckpt", "folds=0", "data.split.file=split.csv"],
    ],
)
def test_settings_that_make_sense(overrides):
    check(audit_settings(*overrides))


def test_folds_take_no_split_and_say_so_beside_other_faults():
    with pytest.raises(UserError) as caught:
        check(audit_settings("checkpoint=a.ckpt", "data.split.file=split.csv", "size=[100,256]"))
    first, second = str(caught.value).splitlines()
    assert first == "data.split.file is for folds=0: the folds are a split of their own"
    assert second.startswith("size=[100, 256]")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("checkpoint", None, "checkpoint=<run>/checkpoints/best.ckpt says how to train"),
        ("checkpoint", "net.onnx", "checkpoint=net.onnx: a .ckpt; exported files give no probabilities"),
        ("checkpoint", ["a.ckpt", "b.ckpt"], r"checkpoint=\['a.ckpt', 'b.ckpt'\]: a .ckpt"),
        ("folds", 1, "folds=1 leaves nothing to train on: 2 or more, or 0"),
        ("folds", -1, "folds=-1: a whole number, 0 or more$"),
        ("folds", None, "folds=None: a whole number, 0 or more$"),
        ("folds", 2.0, "folds=2.0: a whole number"),
        ("seed", -1, "seed=-1: a whole number, 0 or more$"),
        ("seed", "x", "seed=x: a whole number"),
        ("shown", True, "shown=True: a whole number"),
        ("epochs", 0, "epochs=0: a whole number, 1 or more, or null"),
        ("threads", 0, "threads=0: a whole number, 1 or more, or null"),
        ("size", 256, r"size=256: \[height, width\] in pixels, multiples of 16, or null"),
        ("size", [256], r"size=\[256\]: \[height"),
        ("size", [], r"size=\[\]: \[height"),
        ("size", [100, 256], r"size=\[100, 256\]: \[height"),
        ("size", "ab", "size=ab"),
        ("spoil", 1.5, "spoil=1.5: a share, 0 to 1"),
        ("spoil", -0.1, "spoil=-0.1: a share"),
        ("spoil", True, "spoil=True: a share"),
        ("least", float("nan"), "least=nan: a share"),
        ("least", "low", "least=low: a share"),
        ("least", None, "least=None: a share"),
        ("tta", "yes", "tta is true or false; not 'yes'"),
        ("title", " ", "title= : a text"),
        ("title", 7, "title=7: a text"),
    ],
)
def test_a_setting_that_makes_no_sense(key, value, message):
    settings = audit_settings("checkpoint=a.ckpt") | {key: value}
    with pytest.raises(UserError, match=message) as caught:
        check(settings)
    assert len(str(caught.value).splitlines()) == 1, "one fault, one line"


def test_all_faults_are_told_at_once():
    wrong = {
        "checkpoint": None,
        "folds": 1,
        "epochs": 0,
        "threads": -3,
        "seed": "x",
        "shown": -1,
        "size": [15, 16],
        "spoil": 2,
        "least": -1,
        "tta": 1,
        "title": "",
    }
    with pytest.raises(UserError) as caught:
        check(audit_settings() | wrong)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(wrong)
    for key in wrong:
        assert sum(line.startswith(key) for line in lines) == 1, key


# What the nets of the folds are trained with.


@pytest.fixture
def make_run(settings, tmp_path):
    """A run folder, as far as an audit looks into it; its configuration, with overrides."""

    def make(*overrides: str) -> tuple[Path, dict]:
        run = tmp_path / "run"
        saved = settings(*overrides).plain()
        (run / ".hydra").mkdir(parents=True)
        (run / "checkpoints").mkdir()
        OmegaConf.save(OmegaConf.create(saved), run / ".hydra" / "config.yaml")
        (run / "split.csv").write_text("ImageId,part\n")
        return run / "checkpoints" / "best.ckpt", saved

    return make


DATA = {"root": "elsewhere", "csv": "other.csv", "size": (96, 96), "split": {"seed": 5, "file": "split.csv"}}


def test_the_recipe_of_the_run_is_taken(make_run):
    path, saved = make_run(
        "recipe=strong", "seed=7", "model=barebone", "trainer.gradient_clip_val=1.0", "logger=wandb", "speed=true"
    )
    made = fold_settings(audit_settings(f"checkpoint={path}"), DATA)
    for key in ("system", "seed", "encoder", "model", "recipe"):
        assert made[key] == saved[key], key
    assert made["seed"] == 7
    assert made["trainer"] == saved["trainer"]
    assert made["trainer"]["gradient_clip_val"] == 1.0
    assert made["data"] == {**DATA, "size": [96, 96], "split": {"seed": 5, "file": None}}
    assert not any(made["logger"][name] for name in LOGGERS), "a fold is not shown anywhere"
    assert (made["figures"], made["speed"], made["resume"]) == (False, False, None)
    assert set(made) == set(saved) - {"sweep", "experiment"}, "as conf/train.yaml has it"


def test_what_the_audit_changes(make_run):
    path, saved = make_run("recipe=strong")
    overrides = ["epochs=3", "size=[32,64]", "trainer.precision=bf16-mixed", "trainer.accelerator=gpu"]
    made = fold_settings(audit_settings(f"checkpoint={path}", *overrides), DATA)
    assert made["recipe"] == {**saved["recipe"], "epochs": 3}
    assert made["data"]["size"] == [32, 64]
    assert made["trainer"] == {**saved["trainer"], "precision": "bf16-mixed", "accelerator": "gpu"}


def test_one_process_whatever_the_run_had(make_run):
    path, saved = make_run("trainer=ddp", "trainer.num_nodes=2", "trainer.accumulate_grad_batches=3")
    assert (saved["trainer"]["devices"], saved["trainer"]["strategy"]) == (-1, "ddp")
    trainer = fold_settings(audit_settings(f"checkpoint={path}"), DATA)["trainer"]
    assert (trainer["devices"], trainer["num_nodes"], trainer["strategy"]) == (1, 1, "auto")
    assert trainer["accumulate_grad_batches"] == 3


def test_the_result_is_one_that_training_takes(make_run, settings):
    path, saved = make_run()
    made = fold_settings(audit_settings(f"checkpoint={path}"), saved["data"])
    check_loggers(made["logger"])
    read(TrainSettings, {**made, "data": saved["data"] | made["data"]})
    assert OmegaConf.to_container(OmegaConf.create(made)) == made, "plain values"


def test_data_without_a_split_of_its_own(make_run):
    path, _ = make_run()
    for split in ({}, {"split": None}):
        data = {"root": "elsewhere", "size": (96, 96), **split}
        assert fold_settings(audit_settings(f"checkpoint={path}"), data)["data"]["split"] == {"file": None}


def test_a_checkpoint_outside_of_a_run_folder(tmp_path):
    (tmp_path / "net.ckpt").touch()
    with pytest.raises(UserError, match=r"net.ckpt lies in no run folder.*folds=0 with data.split.file"):
        fold_settings(audit_settings(f"checkpoint={tmp_path}/net.ckpt"), DATA)


def test_a_home_folder_is_found(make_run, tmp_path, monkeypatch):
    make_run()
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = audit_settings() | {"checkpoint": "~/run/checkpoints/best.ckpt"}
    assert fold_settings(settings, DATA)["data"]["root"] == "elsewhere"
