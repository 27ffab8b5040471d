"""Writes exported files: ONNX, OpenVINO, and int8 forms of both by calibration on real images."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from steel_defects.core.packages import package
from steel_defects.inference.card import KEY, ModelCard
from steel_defects.inference.graph import StripModel

if TYPE_CHECKING:
    from onnx import ModelProto
    from openvino import Model

_OPSET = 18
_NAMES = {"classes": ["classes", "confidence"], "probabilities": ["probabilities"]}

# Kept out of int8: the resizings, whose rounding would shift what the net sees, and the last decision.
_FLOAT_PARTS = ["/resize/.*", "/Resize.*", "/ReduceMax.*", "/ArgMax.*", "/Sub.*", "/Sigmoid.*", "/Softmax.*"]


def write_model(source: Path, card: ModelCard, path: Path, images: Sequence[np.ndarray] = ()) -> None:
    """Write one file: the suffix of `path` says the format, the card the precision.

    Args:
        source: an ONNX file that `trace` wrote.
        card: travels inside.
        path: `.onnx`, or `.xml` beside which the `.bin` is written.
        images: grey uint8 [H, W], real ones, by which the ranges of int8 are set.
    """
    int8 = card.precision.startswith("int8")
    proto = package("onnx", "export").load(source)
    kept = [*_FLOAT_PARTS, _stem(proto)]
    if path.suffix == ".onnx":
        _save_onnx(_quantize(proto, images, "image", kept) if int8 else proto, card, path)
    else:
        graph = package("openvino").Core().read_model(source)
        _save_openvino(_quantize(graph, images, 0, kept) if int8 else graph, card, path)


def stamp(path: Path, card: ModelCard, target: Path) -> None:
    """Copy a file that `write_model` wrote, with another card inside."""
    if path.suffix == ".onnx":
        _save_onnx(package("onnx", "export").load(path), card, target)
    else:
        _save_openvino(package("openvino").Core().read_model(path), card, target)


def trace(model: StripModel, path: Path) -> None:
    """Write the graph as ONNX: `image` uint8 [B, 1, H, W], free in B, H and W, to what `StripModel` gives."""
    free = {0: "batch", 2: "height", 3: "width"}
    outputs = _NAMES[model.output]
    maps = {0: "batch", 1: "height", 2: "width"}
    example = torch.randint(0, 256, (2, 1, *model.resize.size), dtype=torch.uint8)
    with warnings.catch_warnings():
        # The tracing exporter is deprecated for one that needs a package more and freezes the free sizes of this graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (example,),
            path,
            dynamo=False,
            opset_version=_OPSET,
            input_names=["image"],
            output_names=outputs,
            dynamic_axes={"image": free} | {name: maps if len(outputs) == 2 else free for name in outputs},
        )


def _stem(proto: ModelProto) -> str:
    """Pattern of the first convolution's nodes.

    It stays in floats: it is a small part of the work, and the grey values of steel lie so close together that eight
    bits of its own for the normalised image cost more accuracy than all the rest of the net does.
    """
    first = next(node.name for node in proto.graph.node if node.op_type == "Conv")
    return re.escape(first.rpartition("/")[0]) + "/.*"


def _quantize(model: Any, images: Sequence[np.ndarray], name: str | int, kept: Sequence[str]) -> Any:
    """Static int8 of an ONNX or OpenVINO model; `name` is its input's, `kept` are patterns of what stays in floats."""
    os.environ.setdefault("NNCF_CI", "1")  # read when it is imported; without it, it reports its use to its makers
    nncf = package("nncf", "export")
    for name_of_logger in ("nncf", "torch.utils.cpp_extension"):  # steps taken, and compilers not found
        logging.getLogger(name_of_logger).setLevel(logging.ERROR)
    dataset = nncf.Dataset(list(images), lambda image: {name: np.ascontiguousarray(image)[None, None]})
    # Its bars are drawn in log files, too.
    with contextlib.nullcontext() if sys.stdout.isatty() else contextlib.redirect_stdout(io.StringIO()):
        return nncf.quantize(
            model,
            dataset,
            subset_size=len(images),
            preset=nncf.QuantizationPreset.MIXED,  # one-sided ranges where activations are, as after ReLU6 and swish
            ignored_scope=nncf.IgnoredScope(patterns=list(kept), validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                # One range for all channels of an activation: ONNX Runtime has no other.
                activations_quantization_params=nncf.quantization.advanced_parameters.QuantizationParameters(
                    per_channel=False
                ),
            ),
        )


def _save_onnx(proto: ModelProto, card: ModelCard, path: Path) -> None:
    onnx = package("onnx", "export")
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, {KEY: card.to_json()})
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def _save_openvino(model: Model, card: ModelCard, path: Path) -> None:
    ov = package("openvino")
    model.set_rt_info(card.to_json(), KEY)
    # Half the size, for a net that computes in less than half precision anyway.
    ov.save_model(model, path, compress_to_fp16=card.precision == "bf16")
