"""The engine of OpenVINO files, the fastest on CPUs: one stream a core, one image in each."""

from __future__ import annotations

import queue
from pathlib import Path

import numpy as np

from steel_defects.core.errors import UserError
from steel_defects.core.machine import cpu_name
from steel_defects.core.packages import package
from steel_defects.inference.card import KEY, ModelCard
from steel_defects.inference.decision import Maps, maps_of
from steel_defects.inference.engine import Engine

# What the parts that are not int8 compute in.
HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32", "int8-bf16": "bf16"}


class OpenVinoEngine(Engine):
    """Runs one OpenVINO file (`.xml` with its `.bin`) made by `steel_defects.export`.

    Args:
        path: `.xml` file, with its `.bin` beside it.
        threads: cores to use.

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
            raise UserError(f"{path} cannot be opened by OpenVINO: {_first_line(error)}") from error
        if not model.has_rt_info(KEY):
            raise UserError(f"{path} was not made by steel_defects.export: it carries no card")
        try:
            self.card = ModelCard.from_json(model.get_rt_info(KEY).astype(str))
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
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
        self.about = {
            "engine": "OpenVINO",
            "device": cpu_name(),
            "precision": self.card.precision,
            "threads": threads,
            "versions": {"openvino": ov.__version__},
        }

    def __call__(self, image: np.ndarray) -> Maps:
        """Grey uint8 [H, W] to what the net says of it at the image's own size."""
        request = self._requests.get()
        try:
            request.infer([np.ascontiguousarray(image)[None, None]])
            outputs = [tensor.data[0].copy() for tensor in request.output_tensors]  # the request will write them over
        finally:
            self._requests.put(request)
        return maps_of(outputs[0]) if self.card.output == "probabilities" else Maps(*outputs)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
