"""From a model file to the engine that runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from steel_defects.core.errors import UserError
from steel_defects.core.packages import missing_packages
from steel_defects.core.settings import read
from steel_defects.inference.engine import Engine
from steel_defects.inference.exported import OnnxEngine, OpenVinoEngine
from steel_defects.inference.settings import EngineSettings

SUFFIXES = {".ckpt": "PyTorch", ".onnx": "ONNX Runtime", ".xml": "OpenVINO"}


def _missing(path: Path) -> str:
    """What to say of a path that is no file."""
    if not path.is_dir():
        return f"no model file {path}"
    for checkpoint in (path / "best.ckpt", path / "checkpoints" / "best.ckpt"):
        if checkpoint.is_file():
            return f"{path} is a folder; its checkpoint is {checkpoint}"
    return f"{path} is a folder, and holds no best.ckpt"


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
        threads: threads of the CPU; None takes all.
        device: `auto` (a GPU if there is one), `cpu` or `cuda` for a checkpoint; exported files run on the CPU.
        tta: average over the image and its three mirror images (checkpoints only).
        size: (height, width) the net works at, other than the one it was trained at (checkpoints only).

    Raises:
        UserError: where the file, its engine, or what is asked of it cannot be had.
    """
    paths = [Path(m).expanduser() for m in ([model] if isinstance(model, str | Path) else model)]
    if not paths:
        raise UserError("no model given")
    missing = [_missing(path) for path in paths if not path.is_file()]
    if missing:
        raise UserError("\n".join(missing))
    kinds = {path.suffix.lower() for path in paths}
    if not kinds <= SUFFIXES.keys():
        raise UserError(f"{', '.join(map(str, paths))}: a model file ends in {', '.join(SUFFIXES)}")
    values = {"precision": precision, "threads": threads, "device": device, "tta": tta, "size": size}
    options = read(EngineSettings, values)
    if kinds == {".ckpt"}:
        if missing := missing_packages("train"):
            raise UserError(
                f"a checkpoint needs {', '.join(missing)}, not installed here: "
                'pip install "steel-defects[train]", or export the checkpoint where they are'
            )
        from steel_defects.inference.checkpoint import CheckpointEngine

        return CheckpointEngine(paths, options)
    if len(paths) > 1:
        raise UserError("several models can be averaged as checkpoints only; give one exported file")
    asked = {"precision": precision, "tta": tta, "size": size, "device": None if device in ("auto", "cpu") else device}
    if any(asked.values()):
        names = ", ".join(f"{name}={value}" for name, value in asked.items() if value)
        raise UserError(f"{paths[0].name} has its own precision and size and runs on the CPU; leave out {names}")
    if kinds == {".onnx"}:
        return OnnxEngine(paths[0], options.cores)
    return OpenVinoEngine(paths[0], options.cores)
