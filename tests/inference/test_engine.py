"""The engines behind one call: what they give, from several threads too, and what they say of files that are none."""

from __future__ import annotations

import importlib
import json
import logging
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from steel_defects.core import packages
from steel_defects.core.errors import UserError
from steel_defects.core.files import content_hash
from steel_defects.core.packages import package
from steel_defects.data.images import resize_grey
from steel_defects.inference.card import KEY
from steel_defects.inference.checkpoint import load_module
from steel_defects.inference.decision import Decision, Maps, decision_path
from steel_defects.inference.engine import Engine
from steel_defects.inference.graph import AreaResize
from steel_defects.inference.loading import open_engine

pytestmark = pytest.mark.slow

KINDS = ["checkpoint", "onnx", "xml"]
SHAPES = [(64, 64), (64, 200), (40, 90), (130, 70)]


def draw(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8)).astype(np.float32)
    return cv2.resize(coarse, shape[::-1]).astype(np.uint8)


def same(first: Maps, second: Maps) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def near(first: Maps, second: Maps, atol: float = 1e-3) -> bool:
    """Where two classes are equally likely, rounding chooses."""
    alike = first.classes == second.classes
    return alike.mean() > 0.998 and np.allclose(first.confidence[alike], second.confidence[alike], rtol=0, atol=atol)


@cache
def load_net(path: Path) -> torch.nn.Module:
    return load_module(path).net


def by_hand(
    paths: list[Path], image: np.ndarray, size: tuple[int, int], flips=((),), work=(64, 64), in_graph: bool = False
) -> Maps:
    """The mean of the probabilities, at `size`.

    The graph's own resizing differs from `resize_grey` by a grey level here and there, which nets of random weights
    feel; tests/inference/test_graph.py compares the two.
    """
    exact = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    small = AreaResize(work)(exact) if in_graph else torch.from_numpy(resize_grey(image, work))[None, None]
    total = 0
    with torch.no_grad():
        for path in paths:
            net = load_net(path)
            for axes in flips:
                logits = net(torch.flip(small, axes))
                logits = F.interpolate(torch.flip(logits, axes), size=size, mode="bilinear", align_corners=False)
                total = total + logits.double().softmax(dim=1)[0]
    mean = (total / (len(paths) * len(flips))).numpy()
    best = mean[1:].max(axis=0)
    return Maps((1 + mean[1:].argmax(axis=0)).astype(np.uint8), best / (best + mean[0]))


@pytest.fixture(scope="module")
def other(make_checkpoint, tmp_path_factory) -> Path:
    """Another net for the same classes."""
    return make_checkpoint(tmp_path_factory.mktemp("other") / "other.ckpt", seed=3)


# What they give.


@pytest.mark.parametrize(
    ("kind", "output"), [("checkpoint", "classes"), *product(["onnx", "xml"], ["classes", "probabilities"])]
)
def test_maps_are_those_of_the_net(exported, kind, output):
    files = exported("resnet18", output)
    engine = open_engine(getattr(files, kind), threads=1)
    assert engine.card.classes == ("rust", "dents", "holes")
    assert engine.card.size == (64, 64)
    for seed, shape in enumerate(SHAPES):
        image = draw(shape, seed)
        maps = engine(image)
        assert (maps.classes.dtype, maps.confidence.dtype) == (np.uint8, np.float32)
        assert maps.classes.shape == maps.confidence.shape == shape
        assert near(maps, by_hand([files.checkpoint], image, shape, in_graph=kind != "checkpoint"))


@pytest.mark.parametrize("kind", KINDS)
def test_both_are_the_two_calls(exported, kind):
    files = exported()
    engine = open_engine(getattr(files, kind), threads=1)
    for shape in SHAPES:
        image = draw(shape)
        small, own = engine.both(image)
        assert small.classes.shape == (64, 64)
        assert same(small, engine.resized(image))
        assert same(own, engine(image))
        assert near(small, by_hand([files.checkpoint], image, (64, 64)))


@pytest.mark.parametrize("kind", KINDS)
def test_calls_from_four_threads(exported, kind):
    """More callers than the engine runs side by side, and shapes that change from call to call."""
    engine = open_engine(getattr(exported(), kind), threads=1 if kind == "checkpoint" else 2)
    images = [draw(SHAPES[i % 4], i) for i in range(16)]
    one_by_one = [engine(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(engine, images))
    assert all(map(same, one_by_one, together))


@pytest.mark.parametrize("kind", KINDS)
def test_any_view_is_taken(exported, kind):
    """A part of a picture is no contiguous array."""
    engine, image = open_engine(getattr(exported(), kind), threads=1), draw((100, 200))
    part = image[10:74, 150:20:-1]
    assert same(engine(part), engine(part.copy()))


@pytest.mark.parametrize(("kind", "name"), [*zip(KINDS, ["PyTorch", "ONNX Runtime", "OpenVINO"], strict=True)])
def test_what_an_engine_says_of_itself(exported, kind, name):
    engine = open_engine(str(getattr(exported(), kind)), threads=2, device="cpu")
    assert isinstance(engine, Engine)
    assert engine.about["engine"] == name
    assert engine.about["precision"] == engine.card.precision == "fp32"
    assert engine.about["threads"] == 2
    assert engine.about["device"]
    assert engine.about["versions"]
    assert engine.parallel == (1 if kind == "checkpoint" else 2)
    json.dumps(engine.about)


# Checkpoints: averages, sizes, precisions.

FLIPS = [(), (-1,), (-2,), (-1, -2)]


def test_average_of_two_checkpoints(exported, other):
    paths = [exported().checkpoint, other]
    engine = open_engine(paths, threads=1)
    for shape in SHAPES[:3]:
        image = draw(shape)
        expected = by_hand(paths, image, shape)
        assert near(engine(image), expected, 1e-4)
        assert near(engine.both(image)[0], by_hand(paths, image, (64, 64)), 1e-4)
        assert not near(expected, by_hand(paths[:1], image, shape))
    assert engine.card.system.count(" + ") == 1


def test_average_of_mirror_images(exported, other):
    image, path = draw((64, 150)), exported().checkpoint
    engine = open_engine(path, threads=1, tta=True)
    assert engine.about["tta"] is True
    maps = engine(image)
    assert near(maps, by_hand([path], image, image.shape, FLIPS), 1e-4)
    assert not near(maps, by_hand([path], image, image.shape))
    turned = engine(np.ascontiguousarray(image[::-1, ::-1]))
    assert near(maps, Maps(turned.classes[::-1, ::-1], turned.confidence[::-1, ::-1]), 1e-4)
    both = open_engine([path, other], threads=1, tta=True)
    assert near(both(image), by_hand([path, other], image, image.shape, FLIPS), 1e-4)


def mean_probabilities(paths: list[Path], image: np.ndarray, flips=((),)) -> np.ndarray:
    """Of all classes, float64 [C + 1, H, W]; each mirror image is one of its own, shown to the net and turned back."""
    total = 0
    for path, axes in product(paths, flips):
        small = np.flip(resize_grey(image, (64, 64)), axes).copy()
        with torch.no_grad():
            logits = load_net(path)(torch.from_numpy(small)[None, None])
        turned = torch.from_numpy(np.flip(logits.numpy(), axes).copy())
        logits = F.interpolate(turned, size=image.shape, mode="bilinear", align_corners=False).double()
        total = total + torch.softmax(logits, dim=1)[0].numpy()
    return total / (len(paths) * len(flips))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tta", [False, True])
def test_probabilities_of_all_classes(exported, other, tta, shape):
    """The maps follow from them: the likeliest defect, and its share beside the background."""
    image, flips = draw(shape), FLIPS if tta else [()]
    for paths in ([exported().checkpoint], [exported().checkpoint, other]):
        engine = open_engine(paths, threads=1, tta=tta)
        probabilities = engine.probabilities(image)
        assert (probabilities.dtype, probabilities.shape) == (np.float32, (4, *shape))
        assert (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)
        np.testing.assert_allclose(probabilities, mean_probabilities(paths, image, flips), atol=1e-4)
        best = probabilities[1:].max(axis=0)
        expected = Maps((1 + probabilities[1:].argmax(axis=0)).astype(np.uint8), best / (best + probabilities[0]))
        assert near(engine(image), expected, 1e-4)
        np.testing.assert_array_equal(engine.probabilities(image), probabilities)


def test_probabilities_with_mirror_images_are_the_mean_of_four_calls(exported):
    """Without a net by hand: four calls of the engine that mirrors nothing, for mirrored images, turned back."""
    path, image = exported().checkpoint, draw((64, 64))
    plain, mirrored = open_engine(path, threads=1), open_engine(path, threads=1, tta=True)
    calls = []
    for axes in FLIPS:
        turned = plain.probabilities(np.ascontiguousarray(np.flip(image, axes)))
        calls.append(np.flip(turned, axes))
    np.testing.assert_allclose(mirrored.probabilities(image), np.mean(calls, axis=0), atol=1e-5)
    assert np.abs(mirrored.probabilities(image) - calls[0]).max() > 0.01


def test_probabilities_from_four_threads(exported):
    engine = open_engine(exported().checkpoint, threads=1)
    images = [draw(SHAPES[i % 4], i) for i in range(8)]
    one_by_one = [engine.probabilities(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(engine.probabilities, images))
    assert all(map(np.array_equal, one_by_one, together))


def test_another_size_to_work_at(exported):
    path, image = exported().checkpoint, draw((50, 120))
    engine = open_engine(path, threads=1, size=[48, 96])
    assert engine.card.size == (48, 96)
    assert engine.resized(image).classes.shape == (48, 96)
    assert near(engine(image), by_hand([path], image, image.shape, work=(48, 96)), 1e-4)


def test_bf16_of_a_checkpoint(exported):
    path, image = exported().checkpoint, draw((64, 150))
    engine = open_engine(path, threads=1, precision="bf16", device="cpu")
    assert engine.about["precision"] == engine.card.precision == "bf16"
    maps, exact = engine(image), open_engine(path, threads=1)(image)
    assert maps.confidence.dtype == np.float32
    alike = maps.classes == exact.classes
    assert alike.mean() > 0.97
    assert 0 < np.abs(maps.confidence - exact.confidence)[alike].mean() < 0.05


def test_bf16_weights_are_those_of_autocast(exported):
    """Kept in bf16, they are not rounded anew for each image; the numbers are the same to the bit."""
    path, image = exported().checkpoint, draw((64, 64))
    engine = open_engine(path, threads=1, precision="bf16", device="cpu")
    net = load_module(path).net.to(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = net(torch.from_numpy(image)[None, None]).float().softmax(dim=1)[0].numpy()
    np.testing.assert_array_equal(engine.probabilities(image), expected)
    assert net.encoder.conv1.weight.dtype == torch.float32


# Decisions beside checkpoints.

TUNED = Decision((0.25, 0.5, 0.75), (0, 10, 20))


def tune(path: Path, checkpoints: list[Path], tta: bool = False, size=(64, 64)) -> None:
    stated = [{"file": file.name, "sha256": content_hash(file)} for file in checkpoints]
    values = TUNED.as_dict() | {"checkpoints": stated, "tta": tta, "size": list(size)}
    decision_path(path, tta, len(checkpoints)).write_text(json.dumps(values))


@pytest.fixture
def two(exported, other, tmp_path) -> list[Path]:
    """Checkpoints beside which there is room for a decision."""
    return [
        Path(shutil.copy(exported().checkpoint, tmp_path / "a.ckpt")),
        Path(shutil.copy(other, tmp_path / "b.ckpt")),
    ]


def test_without_a_decision_it_is_argmax(two, exported):
    assert open_engine(two[0]).card.decision.is_argmax
    assert open_engine(exported().onnx).card.decision == Decision((0.4, 0.5, 0.6), (0, 5, 9)), "that of its card"


@pytest.mark.parametrize(("several", "tta"), [(False, True), (True, False)])
def test_a_decision_is_used_for_what_it_was_tuned_for(two, several, tta, caplog):
    paths = two if several else two[:1]
    tune(two[0], paths, tta)
    assert open_engine(paths, tta=tta).card.decision == TUNED
    assert not caplog.records
    assert open_engine(paths, tta=not tta).card.decision.is_argmax
    assert open_engine(two[:1] if several else two, tta=tta).card.decision.is_argmax
    with caplog.at_level(logging.WARNING):
        assert open_engine(paths, tta=tta, size=[48, 64]).card.decision.is_argmax
    assert len(caplog.records) == 1
    assert decision_path(two[0], tta, len(paths)).name in caplog.text
    assert "size [64, 64]" in caplog.text


def test_a_decision_is_not_used_for_a_new_net_of_the_same_name(two, caplog):
    tune(two[0], two[:1])
    shutil.copy(two[1], two[0])
    assert open_engine(two[0]).card.decision.is_argmax
    assert "other checkpoints" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", '{"thresholds": [0.5], "min_area": [0]}'])
def test_a_broken_decision_is_named(two, text):
    decision_path(two[0]).write_text(text)
    with pytest.raises(UserError, match=r"a.decision.json"):
        open_engine(two[0])


# Mistakes.


def refuse(message: str, *args, **options) -> None:
    with pytest.raises(UserError, match=message):
        open_engine(*args, **options)


def test_files_that_are_missing_or_of_no_known_kind(exported, tmp_path):
    files, there = exported(), tmp_path / "a.pth"
    there.touch()
    refuse("no model given", [])
    refuse(f"no model file {tmp_path}/none.onnx$", tmp_path / "none.onnx")
    both = f"no model file {tmp_path}/x.ckpt\nno model file {tmp_path}/y.ckpt$"
    refuse(both, [tmp_path / "x.ckpt", there, tmp_path / "y.ckpt"])
    refuse(f"{tmp_path} is a folder, and holds no best.ckpt$", tmp_path)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "best.ckpt").touch()
    for folder in ("run", "run/checkpoints"):
        refuse(f"{folder} is a folder; its checkpoint is {tmp_path}/run/checkpoints/best.ckpt$", tmp_path / folder)
    refuse(r"a.pth: a model file ends in .ckpt, .onnx, .xml", there)
    refuse("several models can be averaged as checkpoints only", [files.onnx, files.onnx])
    refuse("several models can be averaged as checkpoints only", [files.checkpoint, files.xml])


@pytest.mark.parametrize("kind", ["onnx", "xml"])
def test_what_an_exported_file_cannot_be_asked(exported, kind):
    path = getattr(exported(), kind)
    refuse("has its own precision and size and runs on the CPU; leave out precision=fp32$", path, precision="fp32")
    refuse(r"leave out tta=True, size=\[64, 64\]$", path, tta=True, size=[64, 64])
    refuse("leave out device=cuda$", path, device="cuda")
    open_engine(path, device="cpu", tta=False)


def test_what_a_checkpoint_cannot_be_asked(exported):
    path = exported().checkpoint
    refuse("precision=fp16 needs a GPU", path, precision="fp16", device="cpu")
    refuse("precision of a checkpoint is one of fp32, bf16, fp16; not 'int8'", path, precision="int8")
    refuse("device is auto, cpu or cuda; not 'tpu'", path, device="tpu")
    for size in ([60, 64], [64], [0, 64], [64.0, 64], 64, "64"):
        refuse(r"size=.*multiples of 16", path, size=size)


def test_no_gpu(exported, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refuse("device=cuda: PyTorch sees no GPU here; take device=cpu", exported().checkpoint, device="cuda")
    assert open_engine(exported().checkpoint, device="auto").device.type == "cpu"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [("classes", ["rust", "holes", "dents"], "'holes', 'dents'"), ("size", [64, 128], r"\(64, 128\)")],
)
def test_checkpoints_that_cannot_be_averaged(exported, tmp_path, key, value, said):
    content = torch.load(exported().checkpoint, weights_only=True)
    content["hyper_parameters"][key] = value
    torch.save(content, tmp_path / "a.ckpt")
    refuse(rf"cannot be averaged, their {key} differ: .*{said}", [exported().checkpoint, tmp_path / "a.ckpt"])


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("kind", KINDS)
def test_truncated_files(exported, tmp_path, kind, share):
    files = exported()
    path = Path(shutil.copy(getattr(files, kind), tmp_path))
    shutil.copy(files.xml.with_suffix(".bin"), tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refuse(f"^{path} (is no checkpoint of|cannot be opened by|was not made by)", path)


def test_weights_of_openvino_that_are_missing_or_cut_short(exported, tmp_path):
    path = Path(shutil.copy(exported().xml, tmp_path))
    refuse(f"^{path} lacks its weights, net.bin: the two files go together", path)
    weights = exported().xml.with_suffix(".bin").read_bytes()
    for length in (0, 1000, len(weights) - 1000):
        path.with_suffix(".bin").write_bytes(weights[:length])
        refuse(f"^{path} cannot be opened by OpenVINO", path)


def test_files_of_other_programs(exported, tmp_path):
    onnx, ov = package("onnx"), package("openvino")
    proto = onnx.load(exported().onnx)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "a.onnx")
    ov.save_model(ov.Core().read_model(tmp_path / "a.onnx"), tmp_path / "a.xml")
    for name in ("a.onnx", "a.xml"):
        refuse(f"{name} was not made by steel_defects.export: it carries no card", tmp_path / name)
    (tmp_path / "b.xml").write_text("<?xml version='1.0'?><annotation><size/></annotation>")
    (tmp_path / "b.bin").touch()
    refuse("b.xml cannot be opened by OpenVINO", tmp_path / "b.xml")


@pytest.mark.parametrize("content", [{"state_dict": {}}, {"model": torch.zeros(2)}, [1, 2]])
def test_checkpoints_of_other_programs(tmp_path, content):
    torch.save(content, tmp_path / "a.ckpt")
    refuse("a.ckpt is no checkpoint of steel_defects, or a broken one: ", tmp_path / "a.ckpt")


def test_a_checkpoint_runs_no_code(exported, tmp_path):
    class Malice:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    torch.save(torch.load(exported().checkpoint, weights_only=True) | {"extra": Malice()}, tmp_path / "a.ckpt")
    refuse("a.ckpt is no checkpoint of steel_defects", tmp_path / "a.ckpt")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("kind", ["onnx", "xml"])
def test_cards_that_cannot_be_read(exported, tmp_path, kind):
    path = tmp_path / f"a.{kind}"

    def rewrite(text: str) -> None:
        if kind == "onnx":
            proto = package("onnx").load(exported().onnx)
            del proto.metadata_props[:]
            package("onnx").helper.set_model_props(proto, {KEY: text})
            package("onnx").save(proto, path)
        else:
            model = package("openvino").Core().read_model(exported().xml)
            model.set_rt_info(text, KEY)
            package("openvino").save_model(model, path, compress_to_fp16=False)

    rewrite("{")
    refuse(f"{path}: its card is broken", path)
    later = json.loads(open_engine(exported().onnx).card.to_json()) | {"format": 99}
    rewrite(json.dumps(later))
    refuse(f"{path}: its card has format 99, .* update steel-defects", path)


def test_a_precision_of_a_later_version(exported, tmp_path):
    from steel_defects.export.convert import stamp

    stamp(exported().xml, replace(open_engine(exported().xml).card, precision="int4"), tmp_path / "a.xml")
    refuse("precision 'int4', which this version does not know", tmp_path / "a.xml")


@pytest.mark.parametrize(("kind", "name"), [("onnx", "onnxruntime"), ("xml", "openvino")])
def test_an_engine_that_is_not_installed(exported, monkeypatch, kind, name):
    real = importlib.import_module

    def without(wanted: str):
        if wanted == name:
            raise ModuleNotFoundError(f"No module named {wanted!r}")
        return real(wanted)

    monkeypatch.setattr(packages, "import_module", without)
    refuse(rf'the package {name} is not installed: pip install "steel-defects\[runtime\]"', getattr(exported(), kind))


def test_checkpoints_without_pytorch(exported, monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    refuse(r'a checkpoint needs torch.* pip install "steel-defects\[train\]"', exported().checkpoint)


# A PC at the line.

ALONE = """
import sys

ABSENT = {"torch", "torchvision", "torchmetrics", "pytorch_lightning", "lightning", "timm", "pandas", "matplotlib",
          "segmentation_models_pytorch", "albumentations", "onnx", "nncf", "wandb", "sklearn", "skimage", "scipy"}

class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())

import numpy as np
from steel_defects.inference.loading import open_engine

given = np.load("images.npz")
maps = {}
for kind in ("onnx", "xml"):
    engine = open_engine(f"net.{kind}", threads=1)
    for name in given:
        maps[f"{kind} {name} classes"], maps[f"{kind} {name} confidence"] = engine(given[name])
np.savez("maps.npz", **maps)
assert not ABSENT & {name.partition(".")[0] for name in sys.modules}
assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
"""


def test_exported_files_need_neither_training_packages_nor_network(exported, tmp_path):
    """The same maps where only the runtime is installed; and OpenVINO is kept from telling that it was imported."""
    for path in (exported().onnx, exported().xml, exported().xml.with_suffix(".bin")):
        shutil.copy(path, tmp_path)
    images = {f"{height}x{width}": draw((height, width)) for height, width in SHAPES}
    np.savez(tmp_path / "images.npz", **images)
    surroundings = {key: value for key, value in os.environ.items() if key not in ("CI", "TF_BUILD", "JENKINS_URL")}
    subprocess.run(
        [sys.executable, "-c", ALONE],
        cwd=tmp_path,
        env=surroundings | {"HOME": str(tmp_path)},
        check=True,
        timeout=120,
    )
    assert not (tmp_path / "intel").exists(), "where OpenVINO's telemetry keeps its number"
    given = np.load(tmp_path / "maps.npz")
    for kind in ("onnx", "xml"):
        engine = open_engine(getattr(exported(), kind), threads=1)
        for name, image in images.items():
            assert same(engine(image), Maps(given[f"{kind} {name} classes"], given[f"{kind} {name} confidence"]))
