"""Writes exported files: ONNX, OpenVINO, and int8 forms of both by calibration on real images."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from steel_defects.inference.card import KEY, ModelCard
from steel_defects.inference.engine import package
from steel_defects.inference.graph import StripModel

_OPSET = 18
_NAMES = {"classes": ["classes", "confidence"], "probabilities": ["probabilities"]}

# Kept out of int8: the resizings, whose rounding would shift what the net sees, and the last decision.
_FLOAT_PARTS = ["/resize/.*", "/Resize.*", "/ReduceMax.*", "/ArgMax.*", "/Sub.*", "/Sigmoid.*", "/Softmax.*"]


def write_onnx(model: StripModel, card: ModelCard, path: Path) -> None:
    """Write the graph: `image` uint8 [B, 1, H, W], free in B, H and W, to maps or probabilities at that size."""
    onnx = package("onnx", "export")
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
    proto = onnx.load(path)
    _save_onnx(proto, card, path)


def write_openvino(source: Path, card: ModelCard, path: Path) -> None:
    """Write an ONNX file of `write_onnx` as OpenVINO's `.xml` and `.bin`."""
    _save_openvino(package("openvino").Core().read_model(source), card, path)


def write_int8_openvino(source: Path, card: ModelCard, path: Path, images: Sequence[np.ndarray]) -> None:
    """The same in int8.

    Args:
        source: ONNX file of `write_onnx`.
        card: of the new file.
        path: of the `.xml`.
        images: grey uint8 [H, W], real ones, by which the ranges of int8 are set.
    """
    _save_openvino(_quantize(package("openvino").Core().read_model(source), images, {0: None}), card, path)


def write_int8_onnx(source: Path, card: ModelCard, path: Path, images: Sequence[np.ndarray]) -> None:
    """An ONNX file with static int8 (quantise and dequantise nodes); arguments as `write_int8_openvino`."""
    _save_onnx(_quantize(package("onnx", "export").load(source), images, {"image": None}), card, path)


def _quantize(model, images: Sequence[np.ndarray], feed: dict):
    os.environ.setdefault("NNCF_DISABLE_TELEMETRY", "1")
    nncf = package("nncf", "export")
    logging.getLogger("nncf").setLevel(logging.ERROR)  # it reports its steps
    (name,) = feed
    dataset = nncf.Dataset(list(images), lambda image: {name: np.ascontiguousarray(image)[None, None]})
    return nncf.quantize(
        model,
        dataset,
        subset_size=len(images),
        preset=nncf.QuantizationPreset.MIXED,  # one-sided ranges where activations are, as after ReLU6 and swish
        ignored_scope=nncf.IgnoredScope(patterns=_FLOAT_PARTS, validate=False),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            # One range for all channels of an activation: ONNX Runtime has no other.
            activations_quantization_params=nncf.quantization.advanced_parameters.QuantizationParameters(
                per_channel=False
            ),
        ),
    )


def _save_onnx(proto, card: ModelCard, path: Path) -> None:
    onnx = package("onnx", "export")
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, {KEY: card.to_json()})
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def _save_openvino(model, card: ModelCard, path: Path) -> None:
    ov = package("openvino")
    model.set_rt_info(card.to_json(), KEY)
    # Half the size, for a net that computes in less than half precision anyway.
    ov.save_model(model, path, compress_to_fp16=card.precision == "bf16")
