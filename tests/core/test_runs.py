"""The files of a run folder: written whole, read back, and told apart from broken ones."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from steel_defects.core.errors import Fault, UserError
from steel_defects.core.files import write_table
from steel_defects.core.runs import RunFolder, write_faults
from steel_defects.train.trainer import HistoryWriter

pytestmark = pytest.mark.filterwarnings("error")


def test_summary_there_and_back(tmp_path):
    run = RunFolder(tmp_path)
    written_and_read = {
        "miou": (float("nan"), None),
        "speed": (float("inf"), None),
        "scores": (
            {"a": np.float32(0.5), "b": np.float64("nan"), "c": np.float32("nan"), 3: np.int64(7)},
            {"a": 0.5, "b": None, "c": None, "3": 7},
        ),
        "size": ((256, np.int32(1600)), [256, 1600]),
        "per_class": (np.array([[0.25, np.nan], [1.0, -np.inf]]), [[0.25, None], [1.0, None]]),
        "loss": (torch.tensor(1.5), 1.5),
        "done": (np.bool_(True), True),
        "name": ("tëst", "tëst"),
        "none": (None, None),
        "count": (2, 2),
    }
    run.write_summary({key: written for key, (written, _) in written_and_read.items()})
    assert run.read_summary() == {key: read for key, (_, read) in written_and_read.items()}
    assert run.read_summary()["done"] is True
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    assert "NaN" not in run.summary.read_text()


def test_a_summary_is_replaced_whole_or_not_at_all(tmp_path):
    run = RunFolder(tmp_path)
    run.write_summary({"miou": 0.5, "long": "x" * 1000})
    run.write_summary({"miou": 0.6})
    assert run.read_summary() == {"miou": 0.6}
    with pytest.raises(TypeError):
        run.write_summary({"miou": 0.7, "what": object()})
    assert run.read_summary() == {"miou": 0.6}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_a_summary_broken_off_while_it_is_written(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    run.write_summary({"miou": 0.5})
    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "replace", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(UserError, match="cannot be written: no space left"):
            run.write_summary({"miou": 0.6})
    assert run.read_summary() == {"miou": 0.5}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"], "nor is the part left behind"


def test_a_table_makes_its_folder_and_takes_any_name(tmp_path):
    path = tmp_path / "new" / "images.csv"
    write_table(path, pd.DataFrame({"image": ["a\udcff.png"], "area": [1.5]}))
    assert path.read_bytes() == b"image,area\na?.png,1.5\n"


def test_no_summary(tmp_path):
    with pytest.raises(UserError, match=r"holds no summary\.json: the run did not come to its end") as caught:
        RunFolder(tmp_path).read_summary()
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("content", [b'{"miou": 0.', b"", b"<html>", b"\xff\xfe\x00"])
def test_a_broken_summary(tmp_path, content):
    (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(UserError, match=r"summary\.json is broken"):
        RunFolder(str(tmp_path)).read_summary()


def test_names_of_the_files(tmp_path):
    run = RunFolder(tmp_path)
    names = {"config": ".hydra/config.yaml", "best": "checkpoints/best.ckpt", "last": "checkpoints/last.ckpt"}
    names |= {name: f"{name}.csv" for name in ("split", "skipped", "faults", "history", "per_image", "predictions")}
    names |= {"summary": "summary.json", "figures": "figures"}
    assert {name: getattr(run, name).relative_to(tmp_path).as_posix() for name in names} == names


def test_faults_as_a_table(tmp_path):
    faults = [
        Fault("train.csv", "class 9, of 4", 12),
        Fault("train_images/a\udcff.jpg", 'is "cut short"', image="a.jpg"),  # a name that is no UTF-8
    ]
    for listed, lines in (
        (faults, ['train.csv,12,"class 9, of 4"', 'train_images/a?.jpg,,"is ""cut short"""']),
        ([], []),
    ):
        write_faults(tmp_path / "faults.csv", listed)
        assert (tmp_path / "faults.csv").read_text().splitlines() == ["file,row,message", *lines]
    assert [path.name for path in tmp_path.iterdir()] == ["faults.csv"]


def trainer_at(epoch: int, lead: bool = True, bar: object = None, **scores: float) -> SimpleNamespace:
    metrics = {"train/loss": 1.25, "val/loss": 1.0, "val/miou": 0.5} | {f"val/{k}": v for k, v in scores.items()}
    return SimpleNamespace(
        max_epochs=5,
        loggers=[],
        progress_bar_callback=bar,
        is_global_zero=lead,
        current_epoch=epoch,
        global_step=10 * (epoch + 1),
        optimizers=[SimpleNamespace(param_groups=[{"lr": 0.01 / (epoch + 1)}])],
        callback_metrics={name: torch.tensor(value) for name, value in metrics.items()},
        num_training_batches=10,
    )


def train(writer: HistoryWriter, epochs: range, lead: bool = True, **scores: float) -> None:
    writer.on_train_start(trainer_at(epochs.start, lead), None)
    for epoch in epochs:
        trainer = trainer_at(epoch, lead, **scores)
        writer.on_train_epoch_start(trainer, None)
        writer.on_validation_start(trainer, None)
        writer.on_train_epoch_end(trainer, None)


def test_a_row_an_epoch(tmp_path):
    run = RunFolder(tmp_path)
    assert run.read_history().empty
    train(HistoryWriter(run.history), range(3), miou=0.25, loss=float("nan"))
    rows = run.read_history()
    assert rows["epoch"].tolist() == [0, 1, 2]
    assert rows["step"].tolist() == [10, 20, 30]
    np.testing.assert_allclose(rows["lr"], [0.01, 0.005, 0.01 / 3])
    assert rows["val/miou"].tolist() == [0.25] * 3
    assert rows["val/loss"].isna().all()
    np.testing.assert_allclose(rows["iterations_per_second"] * rows["train_seconds"], 10)
    assert (rows["train_seconds"] > 0).all()
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_speed_is_that_of_training_alone(tmp_path, monkeypatch):
    """Of an epoch with validation, then of one without."""
    clock = iter([100.0, 104.0, 150.0, 152.0])
    monkeypatch.setattr("steel_defects.train.trainer.time.perf_counter", lambda: next(clock))
    writer = HistoryWriter(tmp_path / "history.csv")
    train(writer, range(1))
    writer.on_train_epoch_start(trainer_at(1), None)
    writer.on_train_epoch_end(trainer_at(1), None)
    rows = pd.read_csv(tmp_path / "history.csv")
    assert rows["train_seconds"].tolist() == [4.0, 2.0]
    assert rows["iterations_per_second"].tolist() == [2.5, 5.0]


@pytest.mark.parametrize("again", [0, 2, 4])
def test_rows_of_epochs_to_be_trained_again_are_dropped(tmp_path, again):
    run = RunFolder(tmp_path)
    train(HistoryWriter(run.history), range(4), miou=0.25)
    HistoryWriter(run.history).on_train_start(trainer_at(again), None)
    assert run.read_history()["epoch"].tolist() == list(range(again))
    train(HistoryWriter(run.history), range(again, 5), miou=0.5)
    rows = run.read_history()
    assert rows["epoch"].tolist() == list(range(5))
    assert rows["val/miou"].tolist() == [0.25] * again + [0.5] * (5 - again)


def test_a_score_that_comes_later_leaves_earlier_rows_empty(tmp_path):
    run = RunFolder(tmp_path)
    writer = HistoryWriter(run.history)
    train(writer, range(1), loss=1.0)
    train(writer, range(1, 2), loss=0.5, dice=0.75)
    rows = json.loads(run.read_history()[["epoch", "val/loss", "val/dice"]].to_json(orient="values"))
    assert rows == [[0, 1.0, None], [1, 0.5, 0.75]]


def test_only_the_leading_process_writes(tmp_path):
    path = tmp_path / "history.csv"
    train(HistoryWriter(path), range(2), lead=False)
    assert not path.exists()
    train(HistoryWriter(path), range(2))
    HistoryWriter(path).on_train_start(trainer_at(0, lead=False), None)
    assert len(pd.read_csv(path)) == 2


def test_a_line_an_epoch(tmp_path, monkeypatch, caplog):
    """Through the progress bar where there is one, so as not to tear it; else in the log."""
    printed = []
    bar = SimpleNamespace(print=printed.append)
    writer = HistoryWriter(tmp_path / "history.csv")
    line = "epoch 3/5: loss 1.250, validation loss 1.000, miou 0.250, 7 s"
    for trainer in (trainer_at(2, bar=bar, miou=0.25), trainer_at(2, miou=0.25)):
        clock = iter([0.0, 7.0])
        monkeypatch.setattr("steel_defects.train.trainer.time.perf_counter", lambda clock=clock: next(clock))
        with caplog.at_level("INFO", logger="steel_defects"):
            writer.on_train_epoch_start(trainer, None)
            writer.on_train_epoch_end(trainer, None)
        monkeypatch.undo()
        if trainer.progress_bar_callback:
            assert printed == [line]
            assert line not in caplog.messages
    assert printed == [line]
    assert line in caplog.messages
