"""The engine of ONNX files: ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from steel_defects.core.errors import UserError
from steel_defects.core.machine import cpu_name
from steel_defects.core.packages import package
from steel_defects.inference.card import KEY, ModelCard
from steel_defects.inference.decision import Maps, maps_of
from steel_defects.inference.engine import Engine


class OnnxEngine(Engine):
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
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None:
            raise UserError(f"{path} was not made by steel_defects.export: it carries no card")
        try:
            self.card = ModelCard.from_json(text)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        self.parallel = threads
        self.about = {
            "engine": "ONNX Runtime",
            "device": cpu_name(),
            "precision": self.card.precision,
            "threads": threads,
            "versions": {"onnxruntime": ort.__version__},
        }

    def __call__(self, image: np.ndarray) -> Maps:
        """Grey uint8 [H, W] to what the net says of it at the image's own size."""
        outputs = self._session.run(None, {"image": np.ascontiguousarray(image)[None, None]})
        return maps_of(outputs[0][0]) if self.card.output == "probabilities" else Maps(outputs[0][0], outputs[1][0])
