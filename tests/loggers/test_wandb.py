"""Weights & Biases offline: what the file holds that `wandb sync` would upload, read back without W&B's own reader."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder
from steel_defects.core.settings import Role, keys_with, read
from steel_defects.evaluate.__main__ import evaluate
from steel_defects.evaluate.settings import EvaluateSettings
from steel_defects.loggers import keys
from steel_defects.loggers.base import Start, tags
from steel_defects.loggers.opening import open_loggers
from steel_defects.loggers.wandb_page import shown_images
from steel_defects.loggers.wandb_run import _mode
from steel_defects.train.settings import TrainSettings
from steel_defects.train.training import train

pytestmark = pytest.mark.slow

wandb = pytest.importorskip("wandb")


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))


def started(values: TrainSettings, folder, *overrides: str) -> RunFolder:
    """A run folder as the command leaves it before training."""
    run = RunFolder(folder)
    run.config.parent.mkdir(parents=True)
    OmegaConf.save(values.plain(), run.config)
    OmegaConf.save(list(overrides), run.config.with_name("overrides.yaml"))
    return run


@pytest.fixture(scope="module")
def logged(settings, tmp_path_factory, offline_runs):
    """A run of a sweep with everything on, its folder, its summary, and what is logged of it."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.delenv("WANDB_API_KEY", raising=False)
        patch.setenv("NETRC", str(home / "netrc"))
        patch.setenv("WANDB_CONFIG_DIR", str(home))
        patch.setenv("HOME", str(home))  # what W&B keeps in the home directory would not move with the run
        values = settings(
            *("logger=wandb", "logger.every_n_epochs=2", "logger.log_model=true", "logger.tags=[mine]", "speed=true"),
            *("recipe=strong", "recipe.epochs=3", "trainer.progress=false", "logger.table_images=3"),
        )
        run = started(values, tmp_path_factory.mktemp("run") / "job", "recipe=strong", "logger=wandb", "seed=1")
        summary = train(values, run, sweep="today")
        assert not (home / ".local").exists()
    (offline,) = offline_runs(run.path)
    return run, summary, offline


def test_a_run_says_what_it_is(logged):
    run, summary, offline = logged
    assert wandb.run is None, "the run is still open"
    assert offline.exit_code == 0
    assert (offline.run.project, offline.run.display_name) == ("steel_defects", summary["system"])
    assert (offline.run.run_group, offline.run.job_type) == ("today", "train")
    assert list(offline.run.tags) == ["mine", "recipe=strong", "seed=1"]
    assert json.loads(run.loggers.read_text()) == {"wandb": offline.run.run_id}
    assert offline.config["encoder"]["name"] == "tu-test_efficientnet"
    assert offline.config["recipe"]["lr"] == pytest.approx(1e-3)
    assert offline.config["images"] == summary["data"]["images"]
    assert offline.config["machine"]["device"] == summary["device"]
    assert offline.stats, "hardware"


def test_curves_are_those_of_the_history(logged):
    run, _, offline = logged
    history = run.read_history()
    names = {"lr": "train/lr", "iterations_per_second": "train/it_per_s", "train_seconds": "train/seconds"}
    for column in history.columns.drop(["epoch", "step"]):
        key = names.get(column, column)
        epochs, values = zip(*offline.curve(key), strict=True)
        assert epochs == (0, 1, 2)
        np.testing.assert_allclose(values, history[column], rtol=1e-6)
        assert offline.metrics[key] == "epoch", "the axis it is drawn over"


def test_the_summary_has_scores_cost_and_the_best_epoch(logged):
    run, summary, offline = logged
    for key, value in summary["test"].items():
        assert offline.summary[f"test/{key}"] == pytest.approx(value, nan_ok=True, rel=1e-6)
    assert offline.summary["net/parameters"] == summary["parameters"]
    assert offline.summary["speed/resized_images_per_s"] == summary["speed"]["resized"]["images_per_s"]
    best = dict(offline.curve("val/miou"))[offline.summary["best/epoch"]]
    assert best == pytest.approx(run.read_history()["val/miou"].max()) == offline.summary["best/val_miou"]


def test_masks_of_validation_images_as_training_goes(logged):
    _, _, offline = logged
    (row,) = [row for row in offline.history if "val/overlays" in row]
    assert row["epoch"] == 1
    shown = row["val/overlays"]
    assert shown["count"] == len(shown["captions"]) == len(shown["all_masks"]) >= 2
    drawn = 0
    for masks in shown["all_masks"]:
        for name in ("truth", "prediction"):
            mask = cv2.imread(str(offline.folder / "files" / masks[name]["path"]), cv2.IMREAD_UNCHANGED)
            assert mask.shape[:2] == (64, 64)
            assert mask.max() <= 4
            drawn += name == "truth" and bool(mask.any())
    assert drawn == shown["count"], "the truth of each image has a defect"


def test_the_table_of_test_images(logged, tiny_root):
    """Worst first, with the picture, its true mask from the label file and the predicted one from predictions.csv."""
    run, summary, offline = logged
    table = offline.table("test/images")
    rows = pd.DataFrame(table["data"], columns=table["columns"])
    assert len(rows) == 3
    per_image = pd.read_csv(run.per_image, index_col="ImageId")
    assert rows["iou"].fillna(1).is_monotonic_increasing
    assert rows["image_id"][0] == per_image["native_iou"].fillna(1).idxmin()
    files = offline.table_files("test/images")
    assert all(str(run.path) in path for path in files.values()), "waits for `wandb sync` in the run folder"
    predicted = pd.read_csv(run.predictions)
    for _, row in rows.iterrows():
        name = row["image_id"]
        picture = cv2.imread(files[row["image"]["path"]], cv2.IMREAD_GRAYSCALE)
        original = cv2.imread(str(tiny_root / "train_images" / name), cv2.IMREAD_GRAYSCALE)
        assert np.abs(picture.astype(int) - original).mean() < 5, "a JPEG of it"
        masks = {
            key: cv2.imread(files[mask["path"]], cv2.IMREAD_UNCHANGED) for key, mask in row["image"]["masks"].items()
        }
        for c, one in enumerate(summary["data"]["classes"], start=1):
            assert (masks["truth"] == c).sum() == per_image.loc[name, f"native_true_{one}"] == row[f"true_{one}"]
            codes = predicted[(predicted["ImageId"] == name) & (predicted["ClassId"] == c)]["EncodedPixels"].dropna()
            pixels = sum(int(length) for code in codes for length in code.split()[1::2])
            assert (masks["prediction"] == c).sum() == pixels
        assert row["iou"] == pytest.approx(per_image.loc[name, "native_iou"], nan_ok=True)


def test_charts(logged):
    run, summary, offline = logged
    classes = summary["data"]["classes"]
    table = offline.table("test/classes")
    values = {(row[2], row[3]): row[4] for row in table["data"]}
    for name in classes:
        for score in ("jaccard", "detection", "native_jaccard", "native_detection"):
            expected = summary["test"][f"{score}_{name}"]
            assert values[name, score] == (None if expected != expected else pytest.approx(expected))
    confusion = pd.DataFrame(offline.table("test/confusion_table")["data"], columns=["true", "predicted", "percent"])
    counts = np.asarray(summary["confusion"], float)
    background = confusion[confusion["true"] == "background"].set_index("predicted")["percent"]
    expected = 100 * counts[0] / counts[0].sum()
    np.testing.assert_allclose(background[["background", *classes]], expected, atol=0.006)
    iou = [row[0] for row in offline.table("test/iou_distribution_table")["data"]]
    assert np.mean(iou) == pytest.approx(summary["test"]["miou"])
    assert {"test/confusion", "test/iou_distribution", "test/jaccard_by_class"} <= set(
        offline.config["_wandb"]["visualize"]
    )
    for name in ("curves", "worst"):
        logged_copy = offline.folder / "files" / offline.last(f"figures/{name}")["path"]
        assert logged_copy.read_bytes() == (run.figures / f"{name}.png").read_bytes()


def test_the_dashboard_names_keys_that_are_there(logged):
    _, summary, offline = logged
    classes = summary["data"]["classes"]
    for key in keys.history_keys(classes):
        assert offline.curve(key), key
    assert set(keys.summary_keys(classes)) <= set(offline.summary)
    charts = [keys.chart_table(key) for key in (keys.CONFUSION, keys.IOU)]
    for key in (keys.OVERLAYS, keys.IMAGES, keys.CLASSES, *charts):
        assert offline.last(key)["_type"] in ("images/separated", "table-file"), key


def test_the_artifact_makes_a_folder_that_evaluate_takes(logged, tmp_path, tiny_root):
    _, summary, offline = logged
    (artifact,) = [one for one in offline.artifacts if one.type == "model"]
    assert set(artifact.aliases) == {"best", "latest", f"miou-{summary['test']['miou']:.3f}"}
    assert json.loads(artifact.metadata)["test"]["dice"] == pytest.approx(summary["test"]["dice"])
    for entry in artifact.manifest.contents:  # as a download puts them
        (tmp_path / "run" / entry.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(entry.local_path, tmp_path / "run" / entry.path)
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("evaluate", [f"checkpoint={tmp_path}/run/checkpoints/best.ckpt"])
    (tmp_path / "evaluation").mkdir()
    found = evaluate(
        read(EvaluateSettings, OmegaConf.to_container(cfg, resolve=True)), RunFolder(tmp_path / "evaluation")
    )
    assert found["scores"]["argmax"]["miou"] == pytest.approx(summary["test"]["miou"], abs=1e-6)


def test_a_resumed_run_is_the_same_and_its_newest_part_holds_all(settings, tmp_path, offline_runs, monkeypatch):
    """Synced in any order, the newest part takes the place of the older: so it must be told of the epochs before."""
    values = settings("logger=wandb", "recipe.epochs=4", "figures=false", "logger.table_images=0")
    run = started(values, tmp_path / "run")

    def stop(callback, trainer, module):
        if trainer.current_epoch == 2:
            raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr("steel_defects.train.trainer.Interrupts.on_train_epoch_start", stop, raising=False)
        with pytest.raises(RuntimeError, match="out of memory"):
            train(values, run)
    train(values, run)
    first, second = offline_runs(run.path)
    assert first.run.run_id == second.run.run_id
    assert (first.exit_code, second.exit_code) == (1, 0)
    history = run.read_history()
    assert [epoch for epoch, _ in first.curve("val/miou")] == [0, 1]
    for key in ("val/miou", "train/loss", "train/lr"):
        epochs, values = zip(*second.curve(key), strict=True)
        assert epochs == (0, 1, 2, 3)
        np.testing.assert_allclose(values, history[key.replace("train/lr", "lr")], rtol=1e-6)


def test_two_jobs_are_two_closed_runs(settings, tmp_path, caplog, offline_runs):
    ids = set()
    for seed in (1, 2):
        run = RunFolder(tmp_path / str(seed))
        with caplog.at_level("INFO"):
            train(settings("logger=wandb", f"seed={seed}", "recipe.epochs=1", "figures=false"), run, sweep="today")
        assert wandb.run is None, "the run is still open"
        (offline,) = offline_runs(run.path)
        ids.add(offline.run.run_id)
    assert len(ids) == 2
    assert "no API key" in caplog.text


def test_a_failing_job_closes_its_run(settings, tmp_path, offline_runs):
    options = settings("logger=wandb", "logger.mode=offline").logger
    start = Start(RunFolder(tmp_path), options, "name", "group", [], {"a": 1}, ["rust"], goes_on=False)

    def job():
        with open_loggers(start):
            assert wandb.run.group == "group"
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        job()
    assert wandb.run is None
    (offline,) = offline_runs(tmp_path)
    assert offline.exit_code == 1


def test_tags_are_what_was_chosen():
    overrides = ["encoder=resnet34", "+data.synthetic.size=[64,400]", "data.root=/home/me", "logger.mode=offline"]
    overrides += [
        "trainer=gpu",
        "hydra/launcher=joblib",
        "experiment=paper/baseline",
        "data.classes=[" + "a" * 90 + "]",
    ]
    found = tags([*overrides, "encoder=resnet34"], keys_with(TrainSettings, Role.UNTAGGED))
    assert found[:3] == ["encoder=resnet34", "data.synthetic.size=[64,400]", "experiment=paper/baseline"]
    assert [len(tag) for tag in found[3:]] == [64]


def test_the_worst_half_and_some_of_each_quality():
    iou = np.r_[np.linspace(0.9, 0.1, 20), np.nan]
    rows = pd.DataFrame({"ImageId": [f"{i}.png" for i in range(21)], "native_iou": iou})
    chosen = shown_images(rows, ["rust"], 8)
    assert list(chosen["native_iou"][:4]) == sorted(iou[:20])[:4]
    assert np.isnan(chosen["native_iou"].iloc[-1]), "a clean image that is predicted clean is the best there is"
    assert chosen["ImageId"].is_unique
    assert len(chosen) == 8
    assert len(shown_images(rows, ["rust"], 99)) == 21


def test_unknown_mode(settings):
    with pytest.raises(UserError, match=r"logger\.mode=sometimes: auto, online or offline"):
        settings("logger=wandb", "logger.mode=sometimes")


@pytest.mark.parametrize(
    ("variable", "value", "mode"),
    [
        ("WANDB_MODE", "offline", "offline"),
        ("WANDB_MODE", "dryrun", "offline"),
        ("WANDB_MODE", "online", "online"),
        ("WANDB_MODE", "disabled", None),
        ("WANDB_DISABLED", "true", None),
        ("WANDB_DISABLED", "false", "online"),
    ],
)
def test_what_the_environment_says_of_wandb_is_heeded(monkeypatch, variable, value, mode):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)  # with which it would go online
    monkeypatch.setenv(variable, value)
    if mode:
        assert _mode("auto") == mode
    else:
        with pytest.raises(UserError, match=f"switched off by {variable}={value}"):
            _mode("auto")
    assert _mode("offline") == "offline"


@pytest.mark.parametrize("choice", ["csv", "tensorboard"])
def test_a_model_that_nobody_would_keep_is_refused(settings, choice):
    with pytest.raises(UserError, match=r"logger\.log_model=true"):
        settings(f"logger={choice}", "logger.log_model=true")


def test_tags_of_ones_own_that_wandb_does_not_take(settings):
    with pytest.raises(UserError, match=r"W&B takes 64 characters at most: x{65}$"):
        settings("logger=wandb", f"logger.tags=[{'x' * 65}]")
    settings("logger=wandb", f"logger.tags=[{'x' * 64}]")
    settings("logger=tensorboard", f"logger.tags=[{'x' * 65}]")


def test_pictures_that_wandb_does_not_take_stop_nothing(settings, tmp_path, monkeypatch, caplog):
    """Told once; the net is trained on, and the results are shown all the same."""
    real = wandb.Run.log

    def lose(self, data, *args, **kwargs):
        if keys.OVERLAYS in data:
            raise wandb.errors.CommError("the service is gone")
        return real(self, data, *args, **kwargs)

    monkeypatch.setattr(wandb.Run, "log", lose)
    values = settings("logger=wandb", "logger.mode=offline", "logger.every_n_epochs=1", "recipe.epochs=3")
    run = RunFolder(tmp_path)
    assert train(values.changed({"figures": False}), run)["status"] == "finished"
    assert caplog.text.count("the service is gone") == 1
    assert len(run.read_history()) == 3
