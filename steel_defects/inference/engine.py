"""Engines: what runs a model file. One call takes one image, at any size, and gives maps at that size."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np

from steel_defects.data.images import resize_grey
from steel_defects.errors import UserError
from steel_defects.inference.card import ModelCard
from steel_defects.inference.decision import Maps
from steel_defects.machine import available_cores

SUFFIXES = {".ckpt": "PyTorch", ".onnx": "ONNX Runtime", ".xml": "OpenVINO"}


class Engine(ABC):
    """Runs one model; calls may come from several threads.

    Attributes:
        card: of the model.
        parallel: how many calls at once make full use of the machine.
        about: engine, device, precision, threads and versions, for reports.
    """

    card: ModelCard
    parallel: int
    about: dict

    @abstractmethod
    def __call__(self, image: np.ndarray) -> Maps:
        """Maps of a grey image, uint8 [H, W], at its own size."""

    def resized(self, image: np.ndarray) -> Maps:
        """Maps at the size the net works at."""
        return self(resize_grey(image, self.card.size))

    def both(self, image: np.ndarray) -> tuple[Maps, Maps]:
        """Maps at the net's size and at the image's own."""
        resized = self.resized(image)
        return resized, resized if image.shape == self.card.size else self(image)


def open_engine(
    model: str | Path | Sequence[str | Path],
    *,
    precision: str | None = None,
    threads: int | None = None,
    device: str = "auto",
    tta: bool = False,
    size: Sequence[int] | None = None,
) -> Engine:
    """Open a model file.

    Args:
        model: a `.ckpt`, `.onnx` or OpenVINO `.xml`; or several `.ckpt` of the same classes, to be averaged.
        precision: `fp32` or `bf16` for a checkpoint (`fp16` on a GPU); an exported file has its own, and takes None.
        threads: of the CPU; None takes all.
        device: `auto` (a GPU if there is one), `cpu` or `cuda` for a checkpoint; exported files run on the CPU.
        tta: average over the image and its three mirror images (checkpoints only).
        size: (height, width) the net works at, other than the one it was trained at (checkpoints only).

    Raises:
        UserError: where the file, its engine, or what is asked of it cannot be had.
    """
    paths = [Path(m).expanduser() for m in ([model] if isinstance(model, str | Path) else model)]
    if not paths:
        raise UserError("no model given")
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise UserError(f"no model file {', '.join(missing)}")
    kinds = {path.suffix.lower() for path in paths}
    if not kinds <= SUFFIXES.keys():
        raise UserError(f"{', '.join(map(str, paths))}: a model file ends in {', '.join(SUFFIXES)}")
    threads = threads or available_cores()
    if kinds == {".ckpt"}:
        if find_spec("torch") is None:
            raise UserError(
                'a checkpoint needs PyTorch: pip install "steel-defects[train]", or export it where there is'
            )
        from steel_defects.inference.checkpoint import CheckpointEngine

        return CheckpointEngine(paths, precision or "fp32", threads, device, tta, size)
    if len(paths) > 1:
        raise UserError("several models can be averaged as checkpoints only; give one exported file")
    asked = {"precision": precision, "tta": tta, "size": size, "device": None if device in ("auto", "cpu") else device}
    if any(asked.values()):
        names = ", ".join(f"{name}={value}" for name, value in asked.items() if value)
        raise UserError(f"{paths[0].name} has its own precision and size and runs on the CPU; leave out {names}")
    if kinds == {".onnx"}:
        from steel_defects.inference.onnx_engine import OnnxEngine

        return OnnxEngine(paths[0], threads)
    from steel_defects.inference.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(paths[0], threads)


def package(name: str, extra: str = "runtime") -> ModuleType:
    """Import a package that comes with an extra of this project.

    Raises:
        UserError: where it is not installed.
    """
    # OpenVINO and NNCF tell their makers over the network that they were imported; without this package they cannot.
    sys.modules.setdefault("openvino_telemetry", None)
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise UserError(f'the package {name} is not installed: pip install "steel-defects[{extra}]"') from None
