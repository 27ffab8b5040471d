"""The Python API: what comes out against the command and other libraries, what it takes, and what it refuses."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path

import cv2
import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

import steel_defects
from steel_defects import CONF_DIR, Defect, Model, Prediction, load_model
from steel_defects.core.errors import UserError
from steel_defects.core.settings import read
from steel_defects.data.images import ImageError
from steel_defects.inference.card import ModelCard
from steel_defects.inference.decision import Decision, Maps
from steel_defects.inference.defects import find_defects
from steel_defects.inference.engine import Engine
from steel_defects.inference.loading import open_engine
from steel_defects.predict.__main__ import predict
from steel_defects.predict.settings import PredictSettings

pytestmark = pytest.mark.slow

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "v0.1.0"
CHECKPOINT = FIXTURES / "run" / "checkpoints" / "best.ckpt"
ONNX = next((FIXTURES / "run" / "export").glob("*.onnx"))
CLASSES = ("scratch", "patch")


class Rule(Engine):
    """What is brighter than 150 is class 1, than 200 class 2; `hook` is called with every image."""

    def __init__(self, parallel: int = 1, hook=lambda image: None) -> None:
        self.card = ModelCard(CLASSES, (8, 8), Decision.argmax(2))
        self.parallel, self.about, self.hook = parallel, {"engine": "rule"}, hook

    def __call__(self, image: np.ndarray) -> Maps:
        self.hook(image)
        sure = np.where(image > 150, image / 256, 0.1).astype(np.float32)
        return Maps(np.where(image > 200, 2, 1).astype(np.uint8), sure)


def rule(*args, **options) -> Model:
    engine = Rule(*args, **options)
    return Model(engine, engine.card.decision)


def speckled(seed: int, shape=(40, 90)) -> np.ndarray:
    """Grey image, uint8 [H, W], with many bright blobs of all three levels, some of which touch."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random(shape, np.float32), (0, 0), 1.5)
    return np.round(255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(ONNX, threads=2)


@pytest.fixture(scope="module")
def strips(tiny_root) -> list[Path]:
    return sorted((tiny_root / "train_images").iterdir())


# What comes out.


@pytest.mark.parametrize("file", [CHECKPOINT, ONNX], ids=["ckpt", "onnx"])
def test_the_command_writes_the_same(file, strips, tmp_path):
    given = {"checkpoint": file, "input": strips[0].parent, "output": tmp_path / "out", "device": "cpu"}
    values = OmegaConf.to_container(OmegaConf.load(Path(CONF_DIR) / "predict.yaml"))
    values = {key: value for key, value in values.items() if key not in ("hydra", "defaults")}
    # Not through Hydra: it sets up logging anew, and NNCF's handler still writes into another test's captured output.
    predict(read(PredictSettings, values | given))
    with (tmp_path / "out" / "defects.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert rows
    model = load_model(file, device="cpu")
    for path in strips:
        found = model.predict(path)
        written = Image.open(tmp_path / "out" / "masks" / f"{path.stem}.png")
        np.testing.assert_array_equal(found.mask, np.asarray(written))
        own = [row for row in rows if row["image"] == path.name]
        assert [(d.class_name, d.class_id, d.area, d.box, d.confidence) for d in found.defects] == [
            (
                *(row["class"], int(row["class_id"]), int(row["area_px"])),
                tuple(int(row[key]) for key in ("x", "y", "width", "height")),
                float(row["mean_confidence"]),
            )
            for row in own
        ]


def test_defects_are_those_of_the_mask():
    image = speckled(0, (50, 120))
    found, sure = rule().predict(image), np.where(image > 150, image / 256, 0.1).astype(np.float32)
    np.testing.assert_array_equal(found.mask, np.where(image > 200, 2, np.where(image > 150, 1, 0)))
    np.testing.assert_array_equal(found.confidence, sure)
    assert (found.codes, found.defects) == find_defects(found.mask, sure, CLASSES)
    assert len(found.codes) == 2 < len(found.defects)


def test_kinds_of_a_prediction(model, strips):
    found = model.predict(strips[0])
    assert isinstance(found, Prediction)
    assert (found.image.dtype, found.mask.dtype, found.confidence.dtype) == (np.uint8, np.uint8, np.float32)
    assert found.image.shape == found.mask.shape == found.confidence.shape == (64, 400)
    assert found.classes == model.classes == ("pits", "streaks", "scratches", "patches")
    assert all(isinstance(defect, Defect) for defect in found.defects)
    assert "array" not in repr(found)
    with pytest.raises(FrozenInstanceError):
        found.mask = None


def test_clean():
    clean, spotted = (rule().predict(np.full((5, 7), value, np.uint8)) for value in (90, 180))
    assert (clean.is_clean, clean.defects, clean.codes) == (True, [], {})
    assert (spotted.is_clean, spotted.codes) == (False, {1: "1 35"})


def test_overlay_colours_the_defects_only():
    found = rule().predict(speckled(1))
    picture = found.overlay()
    assert (picture.dtype, picture.shape) == (np.uint8, (40, 90, 3))
    coloured = (picture != found.image[..., None]).any(axis=2)
    np.testing.assert_array_equal(coloured, found.mask > 0)
    drawn = {tuple(colour) for c in (1, 2) for colour in picture[found.mask == c]}
    assert {(0xE6, 0x9F, 0x00), (0x56, 0xB4, 0xE9)} <= drawn, "RGB, in the colours of every page"


# What it takes.


def test_a_file_its_bytes_and_its_pixels_give_the_same(model, strips):
    pixels = np.asarray(Image.open(strips[1]).convert("L"))
    given = [strips[1], str(strips[1]), strips[1].read_bytes(), bytearray(strips[1].read_bytes())]
    given += [pixels, np.asfortranarray(pixels), np.repeat(pixels, 2, axis=1)[:, ::2]]
    first, *others = (model.predict(image) for image in given)
    for other in others:
        assert np.abs(other.image.astype(int) - first.image).max() <= (1 if strips[1].suffix == ".jpg" else 0)
        np.testing.assert_array_equal(other.mask, first.mask)


def test_a_prediction_keeps_its_image():
    buffer = np.full((6, 6), 90, np.uint8)
    found = rule().predict(buffer)
    buffer[:] = 255
    assert (found.image == 90).all()


def test_white(tmp_path):
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), np.full((4, 4), 4095, np.uint16))
    for given in (path, path.read_bytes()):
        assert rule().predict(given).is_clean, "12 bits are dark in 16"
        assert not rule().predict(given, white=4095).is_clean
    [found] = rule().predict_many([path], white=4095)
    assert not found.is_clean


# What it refuses.


@pytest.mark.parametrize("content", [None, b"", b"<html>"], ids=["missing", "empty", "page"])
def test_a_bad_file_is_named(tmp_path, content):
    path = tmp_path / "strip.jpg"
    if content is not None:
        path.write_bytes(content)
    for given in (path, str(path)):
        with pytest.raises(ImageError, match=rf"^{path} (does not exist|is empty|is not an image)"):
            rule().predict(given)
        with pytest.raises(UserError, match=str(path)):
            list(rule().predict_many([given]))
    if content is not None:
        with pytest.raises(ImageError, match=r"^the image is (empty|not an image)"):
            rule().predict(content)


def test_a_folder_is_named(tmp_path):
    with pytest.raises(ImageError, match=str(tmp_path)):
        rule().predict(tmp_path)


@pytest.mark.parametrize(
    ("image", "error", "said"),
    [
        (np.zeros((4, 5, 3), np.uint8), ValueError, r"uint8 \[4, 5, 3\]"),
        (np.zeros((0, 5), np.uint8), ValueError, r"\[0, 5\]"),
        (np.zeros(5, np.uint8), ValueError, r"\[5\]"),
        (np.zeros((4, 5)), TypeError, r"float64 \[4, 5\]"),
        (np.zeros((4, 5), np.uint16), TypeError, "uint16"),
        (np.zeros((4, 5), bool), TypeError, "bool"),
        ([[1, 2]], TypeError, "not list"),
        (None, TypeError, "not NoneType"),
    ],
)
def test_what_is_no_image(image, error, said):
    with pytest.raises(error, match=said):
        rule().predict(image)


@pytest.mark.parametrize("white", [0, 65536])
def test_white_out_of_range(strips, white):
    with pytest.raises(ValueError, match=f"white is {white}"):
        rule().predict(strips[0], white=white)


def test_a_net_that_gives_no_number_finds_no_clean_strip(strips):
    class Nan(Rule):
        def __call__(self, image):
            maps = super().__call__(image)
            return Maps(maps.classes, np.full_like(maps.confidence, np.nan))

    model = Model(Nan(), Decision.argmax(2))
    with pytest.raises(ImageError, match=f"^{strips[0]} gets no number"):
        model.predict(strips[0])
    with pytest.raises(ImageError, match=r"^the image gets no number"):
        model.predict(speckled(0))


# Many.


def test_many_come_in_order(strips, model):
    expected = [load_model(ONNX, threads=1).predict(path).mask for path in strips]
    found = list(model.predict_many(strips))
    assert len(found) == len(strips)
    for one, mask in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.mask, mask)


def test_many_are_taken_as_there_is_room():
    taken = []

    def images():
        for i in range(100):
            taken.append(i)
            yield np.full((4, 4), i, np.uint8)

    found = rule(parallel=2).predict_many(images())
    assert not taken
    for i in range(20):
        assert next(found).image[0, 0] == i
        assert len(taken) <= i + 2 * 3
    found.close()
    assert len(taken) < 30


def test_many_run_side_by_side():
    barrier = threading.Barrier(3, timeout=20)
    assert len(list(rule(2, lambda image: barrier.wait()).predict_many([speckled(0)] * 6))) == 6


def test_many_stop_at_a_bad_one_in_its_turn(strips, tmp_path):
    found = rule(3).predict_many([strips[0], strips[1], tmp_path / "gone.png", strips[2]])
    assert next(found).mask.shape == next(found).mask.shape
    with pytest.raises(ImageError, match=r"gone\.png does not exist"):
        next(found)


@pytest.mark.parametrize("single", ["strip.jpg", Path("strip.jpg"), b"\xff\xd8"])
def test_many_is_not_one(single):
    with pytest.raises(TypeError, match="several images"):
        rule().predict_many(single)


@pytest.mark.parametrize("kind", ["onnx", "xml", "checkpoint"])
def test_calls_from_many_threads(exported, kind):
    model = load_model(getattr(exported(), kind), device="cpu")
    images = [speckled(seed, (64 + 8 * (seed % 3), 100)) for seed in range(24)]
    expected = [model.predict(image) for image in images]
    with ThreadPoolExecutor(6) as pool:
        for one, other in zip(pool.map(model.predict, images), expected, strict=True):
            np.testing.assert_array_equal(one.mask, other.mask)
            np.testing.assert_array_equal(one.confidence, other.confidence)
            assert one.defects == other.defects


# Opening.


def test_what_a_model_says_of_itself(exported):
    model = load_model(str(exported().onnx), threads=1)
    assert isinstance(model, Model)
    assert (model.classes, model.size) == (("rust", "dents", "holes"), (64, 64))
    assert model.decision == Decision((0.4, 0.5, 0.6), (0, 5, 9)) == model.card.decision
    assert (model.about["engine"], model.about["threads"], model.parallel) == ("ONNX Runtime", 1, 1)
    assert all(word in repr(model) for word in ("rust", "64x64", "ONNX Runtime"))


def test_decisions(exported, tmp_path):
    image, found = speckled(7, (64, 64)), {}
    (tmp_path / "own.json").write_text('{"thresholds": [0.7, 0.2, 0.9], "min_area": [0, 0, 0]}')
    mapping = {"thresholds": [0.7, 0.2, 0.9], "min_area": [0, 0, 0]}
    for name, asked in {"argmax": "argmax", "file": tmp_path / "own.json", "mapping": mapping, "auto": "auto"}.items():
        found[name] = load_model(exported().onnx, decision=asked).predict(image)
    maps = open_engine(exported().onnx)(image)
    least = np.array([0, 0.7, 0.2, 0.9], np.float32)[maps.classes]
    for name in ("file", "mapping"):
        np.testing.assert_array_equal(found[name].mask, np.where(maps.confidence >= least, maps.classes, 0))
    np.testing.assert_array_equal(found["argmax"].mask, np.where(maps.confidence > 0.5, maps.classes, 0))
    assert (found["auto"].mask != found["argmax"].mask).any()


def test_keywords_reach_a_checkpoint(exported, make_checkpoint, tmp_path):
    other = make_checkpoint(tmp_path / "other.ckpt", seed=1)
    image = speckled(2, (64, 64))
    plain = load_model(exported().checkpoint, device="cpu").predict(image).confidence
    mirrored = load_model(exported().checkpoint, device="cpu", tta=True).predict(image).confidence
    turned = load_model(exported().checkpoint, device="cpu", tta=True).predict(image[:, ::-1]).confidence[:, ::-1]
    assert np.abs(mirrored - plain).max() > 0.01
    np.testing.assert_allclose(turned, mirrored, atol=1e-4)
    pair = [exported().checkpoint, other]
    one, two = (load_model(files, device="cpu").predict(image).confidence for files in (pair, tuple(pair[::-1])))
    np.testing.assert_allclose(one, two, atol=1e-5)
    assert np.abs(one - plain).max() > 0.01
    model = load_model(exported().checkpoint, device="cpu", size=(96, 128), precision="bf16", threads=1)
    assert (model.size, model.about["precision"], model.about["threads"]) == ((96, 128), "bf16", 1)
    assert model.predict(image).mask.shape == (64, 64)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"decision": "gone.json"}, "no file gone.json"),
        ({"decision": {"thresholds": [0.5], "min_area": [0]}}, "list of 4 numbers"),
    ],
)
def test_what_an_exported_file_cannot_do(options, said):
    with pytest.raises(UserError, match=said):
        load_model(ONNX, **options)


def test_a_folder_tells_its_checkpoint():
    with pytest.raises(UserError, match=r"is a folder; its checkpoint is .*best\.ckpt"):
        load_model(FIXTURES / "run")


# The package.


def alone(code: str, *arguments: object) -> None:
    words = [sys.executable, "-c", code, *map(str, arguments)]
    result = subprocess.run(words, capture_output=True, text=True, env=os.environ, timeout=120)
    assert result.returncode == 0, result.stderr


def test_the_package_itself_imports_nothing_heavy():
    alone("""
import sys
import steel_defects
assert {"load_model", "Model", "Prediction", "Defect", "__version__", "CONF_DIR"} <= set(dir(steel_defects))
assert not {"numpy", "cv2", "torch", "hydra"} & set(sys.modules)
""")


def test_public_names(tmp_path):
    assert set(steel_defects.__all__) == {"load_model", "Model", "Prediction", "Defect", "__version__"}
    names: dict = {}
    exec("from steel_defects import *", names)
    assert set(steel_defects.__all__) <= set(names)
    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        _ = steel_defects.load_modle
    alone("""
import steel_defects
import steel_defects.predict
from steel_defects import predict, load_model
assert predict is steel_defects.predict and predict.__path__, "the command's package"
""")


ABSENT = """
import sys

ABSENT = {"torch", "torchvision", "torchmetrics", "pytorch_lightning", "lightning", "timm", "pandas", "matplotlib",
          "segmentation_models_pytorch", "albumentations", "onnx", "nncf", "wandb", "sklearn", "skimage", "scipy",
          "hydra"}

class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import numpy as np
from steel_defects import load_model

*files, image = sys.argv[1:]
for file in files:
    [found] = load_model(file, threads=1).predict_many([image])
    np.savez(f"{file}.npz", mask=found.mask, confidence=found.confidence)
    assert found.overlay().shape == (*found.mask.shape, 3)
assert not ABSENT & {name.partition(".")[0] for name in sys.modules}
assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
"""


def test_exported_files_need_neither_torch_nor_network(exported, strips, tmp_path, monkeypatch):
    """The same where only the runtime is installed; and OpenVINO is kept from telling that it was imported."""
    files = [shutil.copy(exported().xml.with_suffix(suffix), tmp_path) for suffix in (".onnx", ".xml", ".bin")][:2]
    for key in ("CI", "TF_BUILD", "JENKINS_URL"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    alone(ABSENT, *files, strips[0])
    assert not (tmp_path / "intel").exists(), "where OpenVINO's telemetry keeps its number"
    for file in files:
        given, expected = np.load(f"{file}.npz"), load_model(file, threads=1).predict(strips[0])
        np.testing.assert_array_equal(given["mask"], expected.mask)
        np.testing.assert_array_equal(given["confidence"], expected.confidence)
