"""Exported files against the same net in PyTorch: any image size, any batch, and what int8 covers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from steel_defects.core.errors import UserError
from steel_defects.core.packages import package
from steel_defects.export.convert import stamp, write_model
from steel_defects.inference.card import KEY, ModelCard
from steel_defects.inference.checkpoint import load_module
from steel_defects.inference.decision import Decision
from steel_defects.inference.engine import Engine
from steel_defects.inference.graph import StripModel
from steel_defects.inference.loading import open_engine

pytestmark = pytest.mark.slow

onnx, ort, ov = package("onnx"), package("onnxruntime"), package("openvino")

ENCODERS = ["resnet18", "tu-tf_efficientnet_lite0"]
OUTPUTS = ["classes", "probabilities"]
SIZES = [(1, (64, 64)), (3, (64, 64)), (1, (64, 200)), (3, (40, 90)), (1, (150, 70)), (2, (1, 1))]


def draw(count: int, shape: tuple[int, int]) -> np.ndarray:
    """Uint8 [N, 1, H, W]: soft blobs, each image unlike the others."""
    rng = np.random.default_rng(count)
    coarse = torch.from_numpy(rng.integers(0, 256, (count, 1, 8, 8)).astype(np.float32))
    return torch.nn.functional.interpolate(coarse, shape, mode="bilinear").round().byte().numpy()


def run_onnx(path: Path):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    assert (image.name, image.type, image.shape[1]) == ("image", "tensor(uint8)", 1)
    return lambda batch: session.run(None, {"image": batch})


def run_openvino(path: Path):
    core = ov.Core()
    model = core.read_model(path)
    assert model.input(0).get_element_type() == ov.Type.u8
    assert model.input(0).get_partial_shape().to_string().replace(" ", "") == "[?,1,?,?]"
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
    return lambda batch: [part.copy() for part in compiled(batch).values()]


@pytest.mark.parametrize("kind", ["onnx", "xml"])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("encoder", ENCODERS)
@torch.inference_mode()
def test_fp32_is_the_net(exported, encoder, output, kind):
    files = exported(encoder, output)
    model = StripModel(load_module(files.checkpoint).net, (64, 64), output).eval()
    run = run_onnx(files.onnx) if kind == "onnx" else run_openvino(files.xml)
    for count, shape in SIZES:
        batch = draw(count, shape)
        given, expected = run(batch), model(torch.from_numpy(batch))
        if output == "probabilities":
            assert given[0].shape == (count, 4, *shape)
            np.testing.assert_allclose(given[0], expected.numpy(), rtol=0, atol=1e-3)
            continue
        classes, confidence = (part.numpy() for part in expected)
        assert [part.dtype for part in given] == [np.uint8, np.float32]
        assert given[0].shape == given[1].shape == (count, *shape)
        same = given[0] == classes
        assert same.mean() > 0.998
        np.testing.assert_allclose(given[1][same], confidence[same], rtol=0, atol=1e-3)
        if min(shape) > 1:
            assert len(np.unique(classes)) == 3, "classes all alike would prove little"
            assert confidence.std() > 0.2


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_card_travels(exported, encoder):
    files = exported(encoder)
    card = ModelCard.from_json({p.key: p.value for p in onnx.load(files.onnx).metadata_props}[KEY])
    assert card == ModelCard.from_json(ov.Core().read_model(files.xml).get_rt_info(KEY).astype(str))
    assert card.classes == ("rust", "dents", "holes")
    assert card.size == (64, 64)
    assert card.encoder == encoder
    assert card.decision == Decision((0.4, 0.5, 0.6), (0, 5, 9))


def test_onnx_needs_no_other_domain(exported):
    proto = onnx.load(exported().onnx)
    assert {entry.domain for entry in proto.opset_import} <= {"", "ai.onnx"}
    assert [part.name for part in proto.graph.output] == ["classes", "confidence"]
    assert [part.name for part in onnx.load(exported(output="probabilities").onnx).graph.output] == ["probabilities"]


@pytest.mark.parametrize("kind", ["onnx", "xml"])
def test_stamp_changes_the_card_alone(exported, tmp_path, kind):
    path = getattr(exported(), kind)
    before = open_engine(path, threads=1)
    card = replace(before.card, scores={"test": {"miou": 0.5}}, classes=("Ü <a> & 'b' \"c\"", "dents", "holes"))
    stamp(path, card, tmp_path / path.name)
    after = open_engine(tmp_path / path.name, threads=1)
    assert after.card == card != before.card
    image = draw(1, (50, 120))[0, 0]
    for old, new in zip(before(image), after(image), strict=True):
        np.testing.assert_array_equal(old, new)


def alike(first: Engine, second: Engine) -> float:
    """Share of pixels decided alike."""
    decision = Decision.argmax(3)
    images = draw(6, (64, 100))[:, 0]
    return float(np.mean([decision.mask(first(image)) == decision.mask(second(image)) for image in images]))


def test_bf16(exported, tmp_path):
    if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU does not compute in bf16")
    files = exported()
    card = replace(open_engine(files.xml, threads=1).card, precision="bf16")
    write_model(files.source, card, tmp_path / "a.xml")
    engine = open_engine(tmp_path / "a.xml", threads=1)
    assert engine.about["precision"] == "bf16"
    assert alike(engine, open_engine(files.checkpoint, threads=1)) > 0.97
    assert (tmp_path / "a.bin").stat().st_size < 0.6 * files.xml.with_suffix(".bin").stat().st_size


def test_bf16_is_refused_where_the_cpu_has_none(exported, tmp_path, monkeypatch):
    files = exported()
    write_model(files.source, replace(open_engine(files.xml).card, precision="bf16"), tmp_path / "a.xml")
    real = ov.Core.get_property

    def without_bf16(core, *args):
        value = real(core, *args)
        return [name for name in value if name != "BF16"] if args[1:] == ("OPTIMIZATION_CAPABILITIES",) else value

    monkeypatch.setattr(ov.Core, "get_property", without_bf16)
    with pytest.raises(UserError, match=r"a.xml computes in bf16, which this CPU .* does not; .*fp32 or int8"):
        open_engine(tmp_path / "a.xml")


# Int8.


@pytest.mark.parametrize("encoder", ENCODERS)
def test_one_convolution_is_kept_out_of_int8(exported, encoder, tmp_path, monkeypatch):
    kept = []

    def quantize(model, dataset, ignored_scope, **_):
        kept.extend(ignored_scope.patterns)
        return model

    monkeypatch.setattr(package("nncf"), "quantize", quantize)
    card = replace(open_engine(exported(encoder).xml, threads=1).card, precision="int8")
    write_model(exported(encoder).source, card, tmp_path / "a.onnx", [*draw(1, (64, 100))[:, 0]])
    names = [node.name for node in onnx.load(exported(encoder).source).graph.node if node.op_type == "Conv"]
    assert [name for name in names if any(re.match(pattern, name) for pattern in kept)] == names[:1]


@pytest.fixture(scope="module")
def int8(exported, tmp_path_factory):
    """An int8 file of a kind, made once."""
    files, folder, made = exported(), tmp_path_factory.mktemp("int8"), {}
    card = replace(open_engine(files.xml, threads=1).card, precision="int8")

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = folder / f"a.{kind}"
            write_model(files.source, card, made[kind], [*draw(8, (64, 100))[:, 0]])
        return made[kind]

    return make


@pytest.mark.parametrize("kind", ["onnx", "xml"])
def test_int8_is_near_the_net(exported, int8, kind):
    """Ranges of random weights are wide, so that this is far from what a trained net keeps."""
    engine = open_engine(int8(kind), threads=1)
    assert engine.card.precision == "int8"
    assert alike(engine, open_engine(exported().checkpoint, threads=1)) > 0.75
    size = int8(kind).with_suffix({"onnx": ".onnx", "xml": ".bin"}[kind]).stat().st_size
    assert size < 0.3 * exported().onnx.stat().st_size


def test_int8_onnx_covers_convolutions_but_no_resizing(int8):
    graph = onnx.load(int8("onnx")).graph
    maker = {name: node.op_type for node in graph.node for name in node.output}
    inputs = {node.name: [maker.get(name) for name in node.input] for node in graph.node}
    first, *convolutions = [inputs[node.name][:2] for node in graph.node if node.op_type == "Conv"]
    assert "DequantizeLinear" not in first, "the first stays in floats"
    assert len(convolutions) > 20
    assert {weights for _, weights in convolutions} == {"DequantizeLinear"}
    assert sum(image == "DequantizeLinear" for image, _ in convolutions) > 0.7 * len(convolutions)
    # Its resizing on the way in, and the last on the way out.
    free = [name for name in inputs if name.startswith("/resize/") or name in ("/Resize", "/Sub", "/Sigmoid")]
    assert len(free) > 10
    assert not [name for name in free if "DequantizeLinear" in inputs[name]]


def test_int8_openvino_covers_convolutions_but_no_resizing(int8):
    def makers(operation):
        return [value.get_source_output().get_node() for value in operation.inputs()]

    operations = ov.Core().read_model(int8("xml")).get_ops()
    assert sum(operation.get_type_name() == "FakeQuantize" for operation in operations) > 30
    convolutions = {
        operation.get_friendly_name(): makers(operation)
        for operation in operations
        if operation.get_type_name() == "Convolution"
    }
    assert len(convolutions) > 20

    def stored_as(node) -> str:
        while node.get_type_name() != "Constant":
            node = makers(node)[0]
        return node.get_element_type().to_string()

    floats = [name for name, (_, weights) in convolutions.items() if stored_as(weights) != "i8"]
    assert floats == ["/net/body/encoder/conv1/Conv/WithoutBiases"], "the first stays in floats"
    free = [o for o in operations if o.get_friendly_name().startswith("/resize/") or o.get_friendly_name() == "/Resize"]
    assert {"MatMul", "Interpolate"} <= {operation.get_type_name() for operation in free}
    assert not [o for o in free if any(node.get_type_name() == "FakeQuantize" for node in makers(o))]
