"""Opens every engine for one net at one size, or says why it cannot be had here."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch

from steel_defects.benchmark.settings import ENGINES, Kind
from steel_defects.benchmark.systems import System
from steel_defects.benchmark.timing import reason
from steel_defects.core.files import replacing
from steel_defects.export.convert import stamp, trace, write_model
from steel_defects.inference.card import ModelCard
from steel_defects.inference.decision import Decision
from steel_defects.inference.engine import Engine
from steel_defects.inference.graph import StripModel
from steel_defects.inference.loading import open_engine
from steel_defects.models.module import SegmentationModule


def default_engines() -> list[str]:
    """Those of the CPU and, where there is one, of the GPU."""
    return [name for name, kind in ENGINES.items() if kind.device == "cpu" or torch.cuda.is_available()]


def open_engines(
    names: Collection[str],
    system: System,
    size: tuple[int, int],
    threads: int,
    folder: Path,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[dict[str, Engine], dict[str, str]]:
    """Write the files of a net and open them.

    Args:
        names: names from `ENGINES`.
        system: the net, which gets random weights.
        size: (height, width) in pixels that it works at.
        threads: threads of the CPU.
        folder: empty folder for the files.
        tell: function called with what is being done.

    Returns:
        The engines that could be opened, and why the others could not.
    """
    tell("building the net")
    module, classes = system.module(size), system.settings.data.classes
    files = _Files(module, ModelCard(classes, size, Decision.argmax(len(classes)), system.name), folder)
    engines, faults = {}, {}
    for name in names:
        kind = ENGINES[name]
        tell(f"opening {name}")
        try:
            precision = kind.precision if kind.suffix == ".ckpt" else None
            path = files.write(kind)
            engines[name] = open_engine(path, threads=threads, precision=precision, device=kind.device)
        except Exception as error:  # a package that is missing, a CPU without bf16, a graph an engine does not take
            faults[name] = reason(error)
    return engines, faults


class _Files:
    """Writes what engines open, each file once."""

    def __init__(self, module: SegmentationModule, card: ModelCard, folder: Path) -> None:
        self.module, self.card, self.folder = module, card, folder

    def write(self, kind: Kind) -> Path:
        if kind.suffix == ".ckpt":
            return self._checkpoint()
        return self._exported(kind.suffix, kind.precision)

    def _checkpoint(self) -> Path:
        path = self.folder / "net.ckpt"
        if not path.exists():
            content = {"state_dict": self.module.state_dict(), "hyper_parameters": dict(self.module.hparams)}
            torch.save(content | {"pytorch-lightning_version": pl.__version__}, path)
        return path

    def _exported(self, suffix: str, precision: str) -> Path:
        path = self.folder / f"{precision}{suffix}"
        if path.exists():
            return path
        card = replace(self.card, precision=precision)
        if precision == "int8-bf16":  # the same file, but for what the rest of it computes in
            stamp(self._exported(suffix, "int8"), card, path)
            return path
        source = self.folder / "source.onnx"
        if not source.exists():
            with replacing(source) as part:
                trace(StripModel(self.module.net, card.size), part)
        images = noise(card.size, 2) if precision == "int8" else []
        with contextlib.redirect_stdout(io.StringIO()):  # the quantiser's own progress bar
            write_model(source, card, path, images)
        return path


def noise(size: tuple[int, int], count: int) -> list[np.ndarray]:
    """Images that show nothing, uint8 [H, W]; a net takes as long for them as for any other."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, size, np.uint8) for _ in range(count)]
