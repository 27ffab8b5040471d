"""The command: what it takes, what it says, and how it ends."""

from __future__ import annotations

import csv
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
from steel_defects.inference.card import ModelCard
from steel_defects.inference.decision import Decision, Maps
from steel_defects.inference.engine import Engine
from steel_defects.predict import __main__ as command
from steel_defects.predict.settings import PredictSettings
from steel_defects.predict.tables import TABLES

pytestmark = pytest.mark.slow

CLASSES = ("scratch", "patch")
TUNED = Decision((0.8, 0.5), (4, 0))

# A process with a net that is a rule; 0.2 s an image, if told so.
SCRIPT = """
import sys, time
from pathlib import Path
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


class Rule(Engine):
    """What is brighter than 150 is class 1, than 200 class 2."""

    def __init__(self) -> None:
        self.card, self.parallel = ModelCard(CLASSES, (8, 8), TUNED, system="rule"), 1
        self.about = {"engine": "rule", "device": "cpu", "precision": "fp32", "versions": {}}

    def __call__(self, image: np.ndarray) -> Maps:
        sure = np.where(image > 150, image / 255, 0.1).astype(np.float32)
        return Maps(np.where(image > 200, 2, 1).astype(np.uint8), sure)


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
def opened(monkeypatch) -> list:
    """Opens the rule whatever is asked for, and keeps what was."""
    calls = []
    monkeypatch.setattr(model, "open_engine", lambda *args, **options: calls.append((args, options)) or Rule())
    return calls


def run(folder: Path, **options):
    defaults = {"checkpoint": str(folder / "net.onnx"), "input": str(folder / "in"), "output": str(folder / "out")}
    cfg = OmegaConf.to_container(OmegaConf.load(Path(CONF_DIR) / "predict.yaml"))
    values = {key: value for key, value in cfg.items() if key not in ("hydra", "defaults")}
    return command.predict(read(PredictSettings, values | defaults | options))


def rows(path: Path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def process(cwd: Path, *overrides: str, pause: float | None = 0, wait: bool = True):
    """The command in a process of its own: the real one, or with the rule where there is a pause."""
    start = ["-m", "steel_defects.predict"] if pause is None else ["-c", SCRIPT.replace("PAUSE", str(pause))]
    started = subprocess.Popen(
        [sys.executable, *start, *overrides],
        cwd=cwd,
        env=os.environ | {"COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # background shells pass on deafness
    )
    if not wait:
        return started
    output, _ = started.communicate(timeout=120)
    return subprocess.CompletedProcess(started.args, started.returncode, output)


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
    ("asked", "areas"), [("auto", (0, 120)), ("argmax", (72, 120)), ("file", (72, 0)), ("strict", (0, 0))]
)
def test_decision(folder, opened, asked, areas, caplog):
    caplog.set_level(logging.INFO)
    for name, values in {"file": {"thresholds": [0.6, 0.5], "min_area": [0, 21]}, "strict": TUNED.as_dict()}.items():
        if name == "strict":
            values = {"thresholds": [0.99, 0.99], "min_area": [0, 0]}
        (folder / f"{name}.json").write_text(json.dumps(values))
    given = asked if asked in ("auto", "argmax") else str(folder / f"{asked}.json")
    totals = run(folder, decision=given).totals
    assert tuple(totals.classes[name].area for name in CLASSES) == areas
    expected = {"auto": "scratch from 0.8, 4 px", "argmax": "argmax", "file": "file.json"}.get(asked, "0.99")
    assert expected in caplog.text


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


def test_resume_wants_the_same_model(folder, opened):
    run(folder)
    assert run(folder, resume=True).predicted == 0
    (folder / "net.onnx").write_bytes(b"tuned")
    with pytest.raises(UserError, match=r"model.*net\.onnx"):
        run(folder, resume=True)
    (folder / "net.onnx").write_bytes(b"net")
    with pytest.raises(UserError, match="decision"):
        run(folder, resume=True, decision="argmax")


def test_weights_beside_an_openvino_file_count(folder, opened):
    (folder / "net.xml").write_bytes(b"graph")
    (folder / "net.bin").write_bytes(b"weights")
    run(folder, checkpoint=str(folder / "net.xml"))
    (folder / "net.bin").write_bytes(b"others")
    with pytest.raises(UserError, match="model"):
        run(folder, checkpoint=str(folder / "net.xml"), resume=True)


SAMPLES = {
    "row per class": "ImageId_ClassId,EncodedPixels\n" + "".join(f"{i}.png_{c},\n" for i in (4, 1) for c in (1, 2)),
    "row per image": "ImageId,EncodedPixels,ClassId\n4.png,1 409600,0\n1.png,1 409600,0\n",
}


@pytest.mark.parametrize("layout", SAMPLES)
def test_submission(folder, opened, layout, caplog):
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


def test_submission_with_a_bad_image(folder, opened):
    (folder / "sample.csv").write_text(SAMPLES["row per class"])
    (folder / "in" / "1.png").write_bytes(b"")
    assert run(folder, submission=str(folder / "sample.csv")).totals.bad == 1
    answers = {row["ImageId_ClassId"]: row["EncodedPixels"] for row in rows(folder / "out" / "submission.csv")}
    assert answers["1.png_1"] == answers["1.png_2"] == ""
    assert answers["4.png_2"]


def test_submission_lists_all_that_is_missing(folder, opened):
    names = ["0.png", "x.png", "y.png", "2.png", "3.png"]
    lines = "".join(f"{name}_{c},\n" for name in names for c in (1, 2))
    (folder / "sample.csv").write_text(f"ImageId_ClassId,EncodedPixels\n{lines}")
    with pytest.raises(UserError, match="2 of 5") as caught:
        run(folder, submission=str(folder / "sample.csv"))
    assert "x.png" in str(caught.value)
    assert "y.png" in str(caught.value)
    assert not (folder / "out").exists()
    (folder / "in" / "sub" / "0.png").write_bytes(b"")
    (folder / "sample.csv").write_text("ImageId_ClassId,EncodedPixels\n0.png_1,\n0.png_2,\n")
    with pytest.raises(UserError, match=r"more than once[^/]*0\.png"):
        run(folder, submission=str(folder / "sample.csv"))


def test_command_from_start_to_end(folder):
    """0 when all is well, 1 with bad images, and nothing but the results left behind."""
    before = set(folder.rglob("*"))
    done = process(folder, "checkpoint=net.onnx", "input=in")
    assert done.returncode == 0, done.stdout
    assert all(words in done.stdout for words in ("6 images", "images/s", "patch", "120", "Results: predictions"))
    new = set(folder.iterdir()) - before
    assert new == {folder / "predictions"}
    (folder / "in" / "bad.jpg").write_bytes(b"<html>")
    done = process(folder, "checkpoint=net.onnx", "input=in/**", "output=second", "overlays=false")
    assert done.returncode == 1, done.stdout
    assert "bad.jpg: is not an image" in done.stdout


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["input=in"], "model: has no value"),
        (["checkpoint=net.onnx", "input=nowhere"], "nowhere"),
        (["--multirun", "checkpoint=a.onnx,b.onnx", "input=in"], "--multirun"),
    ],
)
def test_mistakes_end_with_2(folder, overrides, says):
    before = set(folder.rglob("*"))
    done = process(folder, *overrides, pause=None)
    assert done.returncode == 2
    assert says in done.stdout
    assert "Traceback" not in done.stdout
    assert set(folder.rglob("*")) == before


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_stopped_and_gone_on_with(folder, blow):
    expected = process(folder, "checkpoint=net.onnx", "input=in", "output=whole")
    assert expected.returncode == 0, expected.stdout
    running = process(folder, "checkpoint=net.onnx", "input=in", pause=0.3, wait=False)
    journal, until = folder / "predictions" / "journal.jsonl", time.monotonic() + 60
    while time.monotonic() < until and not (journal.exists() and journal.read_bytes().count(b"\n") > 2):
        time.sleep(0.02)
    running.send_signal(blow)
    output, _ = running.communicate(timeout=60)
    if blow == signal.SIGINT:
        assert running.returncode == 130, output
        assert "steel_defects.predict checkpoint=net.onnx input=in resume=true" in output
        assert "Traceback" not in output
        assert 2 <= len(rows(folder / "predictions" / "images.csv")) < 6
    again = process(folder, "checkpoint=net.onnx", "input=in", "resume=true")
    assert again.returncode == 0, again.stdout
    for name in TABLES:
        assert (folder / "predictions" / name).read_bytes() == (folder / "whole" / name).read_bytes()
    assert not list(folder.rglob("*.part"))
