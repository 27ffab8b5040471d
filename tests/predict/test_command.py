"""The command: what it takes, what it says, and how it ends."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from steel_defects import CONF_DIR
from steel_defects.core.errors import UserError
from steel_defects.core.settings import read
from steel_defects.data import rle
from steel_defects.inference import model
from steel_defects.inference.decision import Decision
from steel_defects.predict import __main__ as command
from steel_defects.predict.settings import PredictSettings
from steel_defects.predict.tables import TABLES

pytestmark = pytest.mark.slow

CLASSES = ("scratch", "patch, large")
TUNED = Decision((0.8, 0.5), (4, 0))

# A process with a net that is a rule; each image takes PAUSE s.
SCRIPT = """
import sys, time
import numpy as np
from steel_defects.inference import model
from steel_defects.predict import __main__ as predict
from steel_defects.inference.card import ModelCard
from steel_defects.inference.decision import Decision, Maps
from steel_defects.inference.engine import Engine

class Rule(Engine):
    card, parallel, about = ModelCard(("scratch", "patch"), (8, 8), Decision.argmax(2)), 1, {"engine": "rule"}
    def __call__(self, image):
        time.sleep(PAUSE)
        return Maps(np.where(image > 200, 2, 1).astype(np.uint8), np.where(image > 150, 0.9, 0.1).astype(np.float32))

model.open_engine = lambda *_, **__: Rule()
predict.main()
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """Six strips, each with one defect of each class: one of 12 pixels, one of 20."""
    for k in range(6):
        image = np.full((20, 50), 80, np.uint8)
        image[3:6, 4 + k : 8 + k] = 180  # 0.7 sure
        image[10:14, 20:25] = 250
        path = tmp_path / "in" / ("sub" if k > 3 else "") / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    (tmp_path / "net.onnx").write_bytes(b"net")
    return tmp_path


@pytest.fixture
def opened(monkeypatch, rule) -> list:
    """Opens the rule whatever is asked for, and keeps what was."""
    calls = []

    def open_engine(*args, **options):
        calls.append((args, options))
        return rule(1, decision=TUNED)

    monkeypatch.setattr(model, "open_engine", open_engine)
    return calls


def run(folder: Path, **options):
    defaults = {"checkpoint": str(folder / "net.onnx"), "input": str(folder / "in"), "output": str(folder / "out")}
    cfg = OmegaConf.to_container(OmegaConf.load(Path(CONF_DIR) / "predict.yaml"))
    values = {key: value for key, value in cfg.items() if key not in ("hydra", "defaults")}
    return command.predict(read(PredictSettings, values | defaults | options))


def process(cwd: Path, *overrides: str, pause: float = 0) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.replace("PAUSE", str(pause)), *overrides],
        cwd=cwd,
        env=os.environ | {"COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # background shells pass on deafness
    )


def test_needs_no_training_packages():
    """A PC at the line has none of them."""
    code = """
import sys
class Block:
    def find_spec(self, name, *_):
        if name.split(".")[0] in {"torch", "pytorch_lightning", "lightning", "pandas", "matplotlib", "albumentations",
                                  "segmentation_models_pytorch", "timm", "torchmetrics", "wandb", "scipy", "sklearn"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
import steel_defects.predict.__main__
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_settings_reach_the_engine(folder, opened):
    run(folder, precision="bf16", threads=2, device="cpu", tta=True, size=[64, 400])
    [(args, options)] = opened
    assert args == ([folder / "net.onnx"],)
    assert options == {"precision": "bf16", "threads": 2, "device": "cpu", "tta": True, "size": (64, 400)}


@pytest.mark.parametrize(
    ("asked", "areas", "said"),
    [
        ("auto", (0, 120), "scratch from 0.8, 4 px"),
        ("argmax", (72, 120), "argmax"),
        ({"thresholds": [0.6, 0.5], "min_area": [0, 21]}, (72, 0), "file.json"),
        ({"thresholds": [0.99, 0.99], "min_area": [0, 0]}, (0, 0), "0.99"),
    ],
)
def test_decision(folder, opened, asked, areas, said, caplog):
    caplog.set_level(logging.INFO)
    if isinstance(asked, dict):
        (folder / "file.json").write_text(json.dumps(asked))
        asked = str(folder / "file.json")
    totals = run(folder, decision=asked).totals
    assert tuple(totals.classes[name].area for name in CLASSES) == areas
    assert said in caplog.text


def test_results_do_not_go_among_the_images(folder, opened):
    before = sorted(folder.rglob("*"))
    with pytest.raises(UserError, match="is the folder of the images themselves"):
        run(folder, output=folder / "in")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("asked", ["missing.json", "0.5"])
def test_decision_that_is_not_there(folder, opened, asked):
    with pytest.raises(UserError, match=asked):
        run(folder, decision=asked)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"white": 0}, {"white": 70000}, {"white": 1.5}, {"quality": 101}, {"quality": True}, {"threads": 0}),
        *({"masks": "maybe"}, {"tta": 1}, {"size": 256}, {"size": [256]}, {"size": "ab"}, {"size": [0, 5]}),
    ],
)
def test_values_that_are_none(folder, opened, wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        run(folder, **wrong)
    assert not opened


def test_nothing_is_opened_for_a_used_folder(folder, opened):
    run(folder)
    with pytest.raises(UserError, match="resume=true"):
        run(folder)
    with pytest.raises(UserError, match="no images"):
        run(folder, input=f"{folder}/none/*.jpg", output=str(folder / "other"))
    assert len(opened) == 1


def test_resume_wants_the_same_model_and_settings(folder, opened):
    (folder / "net.xml").write_bytes(b"graph")
    (folder / "net.bin").write_bytes(b"weights")  # beside an OpenVINO file
    net = str(folder / "net.xml")
    run(folder, checkpoint=net)
    tables = {name: (folder / "out" / name).read_bytes() for name in TABLES}
    assert run(folder, checkpoint=net, resume=True).predicted == 0
    for change in ({"decision": "argmax"}, {"white": 9}, {"tta": True}):
        with pytest.raises(UserError, match=next(iter(change))):
            run(folder, checkpoint=net, resume=True, **change)
    with pytest.raises(UserError, match=r"model.*net\.xml.*net\.onnx"):
        run(folder, resume=True)
    (folder / "net.bin").write_bytes(b"others")
    with pytest.raises(UserError, match=r"model.*net\.xml"):
        run(folder, checkpoint=net, resume=True)
    assert tables == {name: (folder / "out" / name).read_bytes() for name in TABLES}


SAMPLES = {
    "row per class": "ImageId_ClassId,EncodedPixels\n" + "".join(f"{i}.png_{c},\n" for i in (4, 1) for c in (1, 2)),
    "row per image": "ImageId,EncodedPixels,ClassId\n4.png,1 409600,0\n1.png,1 409600,0\n",
}


@pytest.mark.parametrize("layout", SAMPLES)
def test_submission(folder, opened, rows, layout, caplog):
    caplog.set_level(logging.INFO)
    (folder / "sample.csv").write_text(SAMPLES[layout])
    summary = run(folder, submission=str(folder / "sample.csv"), decision="argmax")
    assert summary.images == summary.predicted == 2
    assert "left alone: 4 images" in caplog.text
    assert [row["image"] for row in rows(folder / "out" / "images.csv")] == ["1.png", "sub/4.png"]
    answers = {}
    for row in rows(folder / "out" / "submission.csv"):
        image, c = row["ImageId_ClassId"].split("_") if "ImageId_ClassId" in row else (row["ImageId"], row["ClassId"])
        answers[image, int(c)] = row["EncodedPixels"]
    assert [image for image, _ in answers] == ["4.png", "4.png", "1.png", "1.png"]
    for (image, c), code in answers.items():
        mask = np.asarray(Image.open(folder / "out" / "masks" / ("sub" if image == "4.png" else "") / image))
        np.testing.assert_array_equal(rle.decode(code, 20, 50), mask == c)
    # The rest can be had later in the same place.
    assert run(folder, decision="argmax", resume=True).predicted == 4
    with pytest.raises(UserError, match="would be written over by the results"):
        run(folder, decision="argmax", resume=True, submission=str(folder / "out" / "submission.csv"))


def test_submission_with_a_bad_image(folder, opened, rows, caplog):
    (folder / "sample.csv").write_text(SAMPLES["row per class"])
    (folder / "in" / "1.png").write_bytes(b"")
    assert run(folder, submission=str(folder / "sample.csv")).totals.bad == 1
    answers = {row["ImageId_ClassId"]: row["EncodedPixels"] for row in rows(folder / "out" / "submission.csv")}
    assert answers["1.png_1"] == answers["1.png_2"] == ""
    assert answers["4.png_2"]
    assert "handed in as clean: 1 image, 1.png first" in caplog.text


def test_a_submission_that_lists_what_is_not_there_begins_nothing(folder, opened):
    (folder / "sample.csv").write_text(SAMPLES["row per class"].replace("4.png", "x.png"))
    with pytest.raises(UserError, match=r"1 of 2 images[^/]*x\.png"):
        run(folder, submission=str(folder / "sample.csv"))
    assert not (folder / "out").exists()


def test_command_from_start_to_end(folder, opened, steel):
    """0 when all is well, 1 with bad images, and nothing but the results left behind."""
    before = set(folder.iterdir())
    done = steel("predict", "checkpoint=net.onnx", "input=in", cwd=folder)
    assert done.returncode == 0, done.output
    assert all(words in done.output for words in ("6 images", "images/s", "patch", "120", "Results: predictions"))
    assert set(folder.iterdir()) - before == {folder / "predictions"}
    (folder / "in" / "bad.jpg").write_bytes(b"<html>")
    done = steel("predict", "checkpoint=net.onnx", "input=in/**", "output=second", "overlays=false", cwd=folder)
    assert done.returncode == 1, done.output
    assert "bad.jpg: is not an image" in done.output


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["input=in"], "model: has no value"),
        (["checkpoint=net.onnx", "input=nowhere"], "nowhere"),
        (["--multirun", "checkpoint=a.onnx,b.onnx", "input=in"], "--multirun"),
    ],
)
def test_mistakes_end_with_2(folder, steel, overrides, says):
    before = set(folder.rglob("*"))
    done = steel("predict", *overrides, cwd=folder)
    assert done.returncode == 2
    assert says in done.output
    assert "Traceback" not in done.output
    assert set(folder.rglob("*")) == before


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_stopped_and_gone_on_with(folder, rows, blow):
    (folder / "sample.csv").write_text(SAMPLES["row per image"] + "".join(f"{k}.png,,0\n" for k in (0, 2, 3, 5)))
    words = ["checkpoint=net.onnx", "input=in", "submission=sample.csv"]
    whole = process(folder, *words, "output=whole")
    running = process(folder, *words, pause=0.3)
    journal, until = folder / "predictions" / "journal.jsonl", time.monotonic() + 60
    while time.monotonic() < until and not (journal.exists() and journal.read_bytes().count(b"\n") > 2):
        time.sleep(0.02)
    running.send_signal(blow)
    output, _ = running.communicate(timeout=60)
    assert not (folder / "predictions" / "submission.csv").exists()
    if blow == signal.SIGINT:
        assert running.returncode == 130, output
        assert f"steel_defects.predict {' '.join(words)} resume=true" in output
        assert "Traceback" not in output
        assert 2 <= len(rows(folder / "predictions" / "images.csv")) < 6
    for done in (process(folder, *words, "resume=true"), whole):
        output, _ = done.communicate(timeout=60)
        assert done.returncode == 0, output
    for name in (*TABLES, "submission.csv"):
        assert (folder / "predictions" / name).read_bytes() == (folder / "whole" / name).read_bytes()
    assert not list(folder.rglob("*.part"))
