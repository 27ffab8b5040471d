"""The engines of exported files, on the CPU: ONNX Runtime; and OpenVINO, the fastest, with one image a stream."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from steel_defects.core.errors import UserError
from steel_defects.core.machine import cpu_name
from steel_defects.core.packages import package
from steel_defects.inference.card import KEY, ModelCard
from steel_defects.inference.decision import Maps, maps_of
from steel_defects.inference.engine import Engine

# What the parts of an OpenVINO file that are not int8 compute in.
HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32", "int8-bf16": "bf16"}


class _ExportedEngine(Engine):
    """What engines of exported files have in common: the card inside, and maps or probabilities coming out."""

    def _read_card(self, path: Path, text: str | None) -> None:
        if text is None:
            raise UserError(f"{path} was not made by steel_defects.export: it carries no card")
        try:
            self.card = ModelCard.from_json(text)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    def _describe(self, name: str, threads: int, version: tuple[str, str]) -> None:
        self.about = {
            "engine": name,
            "device": cpu_name(),
            "precision": self.card.precision,
            "threads": threads,
            "versions": dict([version]),
        }

    def _maps(self, outputs: Sequence[np.ndarray]) -> Maps:
        """Maps of the outputs for one image, without the axis of the batch."""
        return maps_of(outputs[0]) if self.card.output == "probabilities" else Maps(*outputs)


class OnnxEngine(_ExportedEngine):
    """Runs one ONNX file made by `steel_defects.export`.

    Args:
        path: ONNX file.
        threads: calls that run side by side, each on one core: at batch 1 this is faster than sharing each call.

    Raises:
        UserError: where the file is broken, not ours, or ONNX Runtime is not installed.
    """

    def __init__(self, path: Path, threads: int) -> None:
        ort = package("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3  # its warnings concern those who made the graph
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no class but this one
            raise UserError(f"{path} cannot be opened by ONNX Runtime: {str(error).splitlines()[0][:200]}") from error
        self._read_card(path, self._session.get_modelmeta().custom_metadata_map.get(KEY))
        self.parallel = threads
        self._describe("ONNX Runtime", threads, ("onnxruntime", ort.__version__))

    def __call__(self, image: np.ndarray) -> Maps:
        """Grey uint8 [H, W] to what the net says of it at the image's own size."""
        outputs = self._session.run(None, {"image": np.ascontiguousarray(image)[None, None]})
        return self._maps([output[0] for output in outputs])


class OpenVinoEngine(_ExportedEngine):
    """Runs one OpenVINO file (`.xml` with its `.bin`) made by `steel_defects.export`.

    Args:
        path: `.xml` file, with its `.bin` beside it.
        threads: cores to use, each with a stream of its own.

    Raises:
        UserError: where the file is broken, not ours, needs what this CPU lacks, or OpenVINO is not installed.
    """

    def __init__(self, path: Path, threads: int) -> None:
        ov = package("openvino")
        # OpenVINO's binding looks NumPy up at the first array it hands out. Two threads that do so at the same time may
        # wait for each other for ever: so it is done here, before there are any.
        _ = ov.Tensor(np.zeros(1, np.uint8)).data
        path = path.resolve()  # a link's weights lie beside the file it leads to
        core = self._core = ov.Core()
        core.set_property({"ENABLE_MMAP": False})  # else to copy another model over this one would crash the process
        if not path.with_suffix(".bin").is_file():
            raise UserError(f"{path} lacks its weights, {path.with_suffix('.bin').name}: the two files go together")
        try:
            model = core.read_model(path)
        except RuntimeError as error:
            raise UserError(f"{path} cannot be opened by OpenVINO: {_last_line(error)}") from error
        self._read_card(path, model.get_rt_info(KEY).astype(str) if model.has_rt_info(KEY) else None)
        hint = HINTS.get(self.card.precision)
        if hint is None:
            raise UserError(f"{path} has precision {self.card.precision!r}, which this version does not know")
        if hint == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise UserError(
                f"{path.name} computes in bf16, which this CPU ({cpu_name()}) does not; "
                "take a file exported with precision=fp32 or int8"
            )
        # With the batch fixed, everything between the two resizings has a fixed shape, which is faster.
        model.reshape([1, 1, -1, -1])
        options = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads}
        compiled = self._compiled = core.compile_model(model, "CPU", options)
        self.parallel = compiled.get_property("NUM_STREAMS")
        self._requests: queue.SimpleQueue = queue.SimpleQueue()
        for _ in range(self.parallel):
            self._requests.put(compiled.create_infer_request())
        self._describe("OpenVINO", threads, ("openvino", ov.__version__))

    def __call__(self, image: np.ndarray) -> Maps:
        """Grey uint8 [H, W] to what the net says of it at the image's own size."""
        request = self._requests.get()
        try:
            request.infer([np.ascontiguousarray(image)[None, None]])
            outputs = [tensor.data[0].copy() for tensor in request.output_tensors]  # the request will write them over
        finally:
            self._requests.put(request)
        return self._maps(outputs)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
