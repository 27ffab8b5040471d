"""The engines behind one call: what they give, from several threads too, and what they say of files that are none."""

from __future__ import annotations

import importlib
import json
import logging
import os
import shutil
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
from steel_defects.export.convert import stamp
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
    paths: list[Path], image: np.ndarray, size=None, flips=((),), work=(64, 64), in_graph: bool = False
) -> np.ndarray:
    """The mean of the probabilities at `size`, float64 [C + 1, H, W]; mirror images are turned back.

    The graph's own resizing differs from `resize_grey` by a grey level here and there, which nets of random weights
    feel; tests/inference/test_graph.py compares the two.
    """
    exact = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    small = AreaResize(work)(exact) if in_graph else torch.from_numpy(resize_grey(image, work))[None, None]
    total = 0
    for path, axes in product(paths, flips):
        with torch.no_grad():
            logits = torch.flip(load_net(path)(torch.flip(small, axes)), axes)
        logits = F.interpolate(logits, size=size or image.shape, mode="bilinear", align_corners=False)
        total = total + logits.double().softmax(dim=1)[0].numpy()
    return total / (len(paths) * len(flips))


def maps_by_hand(*args, **options) -> Maps:
    """Maps of those probabilities: the likeliest defect, and its share beside the background."""
    mean = by_hand(*args, **options)
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
        assert near(maps, maps_by_hand([files.checkpoint], image, in_graph=kind != "checkpoint"))


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
        assert near(small, maps_by_hand([files.checkpoint], image, (64, 64)))


@pytest.mark.parametrize("kind", KINDS)
def test_any_view_is_taken(exported, kind):
    """A part of a picture is no contiguous array, not even where it has the net's size and no resizing makes one."""
    engine, image = open_engine(getattr(exported(), kind), threads=1), draw((100, 200))
    for part in (image[10:74, 150:20:-1], image[10:74, 150:86:-1]):
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


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_averages_of_checkpoints_and_of_mirror_images(exported, other, count, tta, shape):
    paths, image, flips = [exported().checkpoint, other][:count], draw(shape), FLIPS if tta else [()]
    engine = open_engine(paths, threads=1, tta=tta)
    assert engine.about["tta"] is tta
    assert engine.card.system.count(" + ") == count - 1
    probabilities, expected = engine.probabilities(image), by_hand(paths, image, flips=flips)
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (4, *shape))
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    np.testing.assert_array_equal(engine.probabilities(image), probabilities)
    assert near(engine(image), maps_by_hand(paths, image, flips=flips), 1e-4)
    assert near(engine.both(image)[0], maps_by_hand(paths, image, (64, 64), flips=flips), 1e-4)
    if count == 2 or tta:
        assert np.abs(expected - by_hand(paths[:1], image)).max() > 0.01


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
    assert near(engine(image), maps_by_hand([path], image, work=(48, 96)), 1e-4)


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
    refuse("precision=int8: fp32, bf16 or fp16", path, precision="int8")
    refuse("device=tpu: auto, cpu or cuda", path, device="tpu")
    for size in ([60, 64], [64], [0, 64], [64.0, 64], 64, "64"):
        refuse(r"size=.*multiples of 16", path, size=size)
    for threads in (0, -1, "two", True):
        refuse(f"threads={str(threads).lower()}: a whole number, 1 or more", path, threads=threads)
    refuse("threads=0: .*\n.*precision=int8: |precision=int8: .*\nthreads=0: ", path, precision="int8", threads=0)


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
    refuse(f"^{path} (is not a checkpoint of|cannot be opened by|was not made by)", path)


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
    refuse("a.ckpt is not a checkpoint of steel_defects, or is a broken one: ", tmp_path / "a.ckpt")


def test_a_checkpoint_runs_no_code(exported, tmp_path):
    class Malice:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    torch.save(torch.load(exported().checkpoint, weights_only=True) | {"extra": Malice()}, tmp_path / "a.ckpt")
    refuse("a.ckpt is not a checkpoint of steel_defects", tmp_path / "a.ckpt")
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
