"""The evaluate command: the scores are those of training, tuning is kept and used, mistakes have one clear message."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder
from steel_defects.core.settings import read
from steel_defects.evaluate.__main__ import evaluate
from steel_defects.evaluate.settings import EvaluateSettings
from steel_defects.inference.decision import decision_path
from steel_defects.inference.loading import open_engine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(trained_run) -> RunFolder:
    return trained_run


@pytest.fixture
def own(run, tmp_path) -> RunFolder:
    """A copy to write into and to spoil."""
    return RunFolder(shutil.copytree(run.path, tmp_path / "own"))


@pytest.fixture
def score(tmp_path):
    """Evaluate into a new folder. A checkpoint, or several, then overrides of the command line."""

    def start(models, *overrides: str, chosen=None, changes=None) -> tuple[dict, RunFolder]:
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            cfg = compose("evaluate", ["threads=1", "figures=false", *overrides])
        settings = OmegaConf.to_container(cfg, resolve=True)
        settings["checkpoint"] = [str(m) for m in models] if isinstance(models, list) else str(models)
        folder = RunFolder(tmp_path / f"evaluation{len(list(tmp_path.glob('evaluation*')))}")
        folder.path.mkdir()
        return evaluate(read(EvaluateSettings, settings), folder, chosen, changes), folder

    return start


def same(found: dict, expected: dict) -> bool:
    return found.keys() == expected.keys() and all(
        found[key] == pytest.approx(value, abs=1e-3) if value is not None else np.isnan(found[key])
        for key, value in expected.items()
    )


def test_scores_are_those_of_training(run, score):
    """Up to a pixel or two of 25,600: logits of images one by one and in batches differ by rounding (some 1e-6)."""
    summary, folder = score(run.best)
    assert same(summary["scores"]["argmax"], run.read_summary()["test"])
    assert summary["scores"]["argmax"]["miou"] > 0, "a net that finds nothing would prove little"
    assert list(summary["scores"]) == ["argmax"]
    rows, expected = pd.read_csv(folder.per_image), pd.read_csv(run.per_image)
    assert list(rows) == list(expected)
    for column in rows.columns[1:]:
        if "true_" in column:
            assert rows[column].tolist() == expected[column].tolist()
        elif "predicted_" in column or "hit_" in column:
            assert (rows[column] - expected[column]).abs().max() <= 2
    assert rows["ImageId"].tolist() == expected["ImageId"].tolist()
    written = json.loads((folder.path / "evaluation.json").read_text())
    assert written["scores"]["argmax"]["miou"] == summary["scores"]["argmax"]["miou"]
    assert written["data"]["split_hash"] == written["model"]["trained_on"]["split_hash"]
    assert written["data"]["images"] == len(rows)
    assert written["engine"]["threads"] == 1
    assert not folder.figures.exists()


def test_validation_scores_are_those_of_training(run, score):
    summary, _ = score(run.best, "part=val")
    expected = run.read_summary()["val"]
    resized = {key: value for key, value in summary["scores"]["argmax"].items() if not key.startswith("native_")}
    expected.pop("loss")
    assert same(resized, expected)


def test_tuning_is_kept_and_used(own, score, tiny_root):
    tuned, folder = score(own.best, "tune=true", "figures=true", "tuning.min_areas=[0,20,100]")
    result = tuned["tuning"]
    assert result["tuned"] > result["argmax"]
    validation, _ = score(own.best, "part=val")
    for name in ("argmax", "tuned"):
        assert validation["scores"][name]["native_dice"] == pytest.approx(result[name], abs=1e-12)
    table = pd.read_csv(folder.path / "tuning.csv")
    assert list(table) == ["class", "threshold", "min_area", "dice"]
    assert len(table) == 4 * 19 * 3
    for name, values in result["classes"].items():
        rows = table[table["class"] == name]
        assert values["tuned"] == rows["dice"].max() or not values["images"]
    names = {path.name for path in folder.figures.iterdir()}
    assert names == {"tuning.png", "iou_histogram.png", "best.png", "middle.png", "worst.png"}

    written = json.loads(decision_path(own.best).read_text())
    assert written["tuned_on"]["split_hash"] == own.read_summary()["data"]["split_hash"]
    assert open_engine(own.best).card.decision.as_dict() == tuned["decision"]
    again, folder = score(own.best)
    assert str(again["scores"]) == str(tuned["scores"])  # NaN is not equal to itself
    rows = pd.read_csv(folder.per_image)
    assert rows["tuned_native_dice_scratches"].mean() != rows["native_dice_scratches"].mean()
    assert list(score(own.best, "decision=argmax")[0]["scores"]) == ["argmax"]

    elsewhere = shutil.move(decision_path(own.best), own.path / "mine.json")
    assert list(score(own.best)[0]["scores"]) == ["argmax"]
    by_path, _ = score(own.best, f"decision={elsewhere}")
    assert str(by_path["scores"]) == str(tuned["scores"])


def test_several_checkpoints_are_averaged(run, score):
    both = [run.best, run.last]
    single = [score(path)[0]["scores"]["argmax"] for path in both]
    first, folder = score(both, "tta=true")
    second, other_folder = score(both, "tta=true")
    assert folder.per_image.read_bytes() == other_folder.per_image.read_bytes()
    mean = score(both)[0]["scores"]["argmax"]
    values = [scores["native_jaccard"] for scores in (*single, mean, first["scores"]["argmax"])]
    assert len(set(values)) == 4, values
    assert first["engine"]["tta"] is True
    assert second["checkpoint"] == [str(path) for path in both]


def test_another_size(run, score):
    summary, _ = score(run.best, "size=[32,96]")
    assert summary["model"]["size"] == (32, 96)
    assert summary["scores"]["argmax"]["miou"] != run.read_summary()["test"]["miou"]


def swap_parts(split: Path) -> int:
    """Make test images of four training images, and the other way round."""
    rows = pd.read_csv(split, keep_default_na=False)
    for part, new in (("train", "was"), ("test", "train"), ("was", "test")):
        rows.loc[rows.index[rows["part"] == part][:4], "part"] = new
    rows.to_csv(split, index=False)
    return 4


def test_images_trained_on_are_refused(run, own, score, tmp_path):
    split = Path(shutil.copy(run.split, tmp_path / "split.csv"))
    seen = swap_parts(split)
    with pytest.raises(UserError, match=f"was trained on {seen} of the .* images of part=test"):
        score(own.best, changes={"split.file": str(split)})
    shutil.copy(split, own.split)  # of the second checkpoint now
    with pytest.raises(UserError, match=rf"{own.best} was trained on {seen} of"):
        score([run.best, own.best])


def test_images_trained_on_are_said(run, score, caplog):
    summary, _ = score(run.best, "part=all")
    counts = run.read_summary()["data"]["images"]
    assert summary["data"]["images"] == sum(counts.values())
    assert summary["data"]["split_hash"] is None
    assert f"{counts['train']} of these {sum(counts.values())} images: no score to go by" in caplog.text


def test_figures_of_clean_images(run, score, tiny_root, tmp_path):
    """A data set without a defect, of other images: nothing to show but the histogram."""
    labels = pd.read_csv(tiny_root / "train.csv")
    clean = sorted({path.name for path in (tiny_root / "train_images").iterdir()} - set(labels["ImageId"]))[:2]
    (tmp_path / "clean" / "train_images").mkdir(parents=True)
    for name in clean:
        shutil.copy(tiny_root / "train_images" / name, tmp_path / "clean" / "train_images")
    (tmp_path / "clean" / "train.csv").write_text("ImageId,ClassId,EncodedPixels\n")
    summary, folder = score(
        run.best, "part=all", "figures=true", changes={"root": str(tmp_path / "clean"), "synthetic": None}
    )
    assert summary["data"]["images"] == 2
    assert np.isnan(summary["scores"]["argmax"]["miou"])
    assert [path.name for path in folder.figures.iterdir()] == ["iou_histogram.png"]
    with pytest.raises(UserError, match=r"of the split not in the data set.*\n.*part=all"):
        score(run.best, changes={"root": str(tmp_path / "clean"), "synthetic": None})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["part=both"], "part=both: test, val, train or all"),
        (["decision=nowhere.json"], "no file nowhere.json"),
        (["decision=argmax", "tune=true"], "leave out decision=argmax"),
        (["decision=true"], "decision=true: auto, argmax, or a file"),
        (["threads=0"], "threads=0: a whole number"),
        (["tta=2"], "tta=2: true or false"),
        (["size=[30,64]"], "multiples of 16"),
        (["precision=fp16"], "fp16"),
        (["tune=true", "tuning.thresholds=[2]"], "tuning.thresholds=\\[2\\]: a list of probabilities"),
    ],
)
def test_mistakes_have_one_clear_error(run, score, overrides, message):
    with pytest.raises(UserError, match=message):
        score(run.best, *overrides)
    assert not decision_path(run.best).exists()


def test_model_files_that_are_none(score, tmp_path):
    with pytest.raises(UserError, match="checkpoint=<file> is missing"):
        score([])
    with pytest.raises(UserError, match="no model file"):
        score(tmp_path / "nowhere.ckpt")
    (tmp_path / "model.onnx").touch()
    with pytest.raises(UserError, match="tune the checkpoint, then export it again"):
        score(tmp_path / "model.onnx", "tune=true")


def test_command(own, steel, tiny_root, tmp_path):
    """The group and single keys of the data arrive; the tuned and the plain scores stand side by side."""
    result = steel(
        "evaluate", f"checkpoint={own.best}", "tune=true", f"data.root={tiny_root}", "figures=false", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert "native_dice on " in result.stdout
    assert "argmax" in result.stdout
    assert "tuned" in result.stdout
    (written,) = tmp_path.glob("evaluations/*/*/evaluation.json")
    assert (written.parent / ".hydra" / "config.yaml").is_file()
    assert set(json.loads(written.read_text())["scores"]) == {"argmax", "tuned"}


def test_user_mistake_on_the_command_line(own, steel, tmp_path):
    result = steel("evaluate", f"checkpoint={own.best}", "data=strip_steel", "data.root=nowhere", cwd=tmp_path)
    assert result.returncode == 2
    assert "inclusion, patches, scratches" in result.stderr
    assert "pits, streaks, scratches, patches" in result.stderr
    assert "Traceback" not in result.stderr
