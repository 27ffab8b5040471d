"""Settings that all commands which run a trained net have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator

from steel_defects.core.machine import available_cores, precision_word
from steel_defects.core.settings import Flag, NetSize, PathName, Positive, Role, Settings, Words

Checkpoints = Annotated[
    PathName | tuple[PathName, ...], Words("a model file, or several checkpoints: [a.ckpt,b.ckpt]"), Role.PATH
]


def _cuda(device: object) -> object:
    return "cuda" if device == "gpu" else device


def _word(precision: object) -> object:
    return precision_word(str(precision)) if isinstance(precision, str | int) else precision


# Words of other programs, and of earlier versions, are taken for ours.
Device = Annotated[Literal["auto", "cpu", "cuda"], BeforeValidator(_cuda)]
EnginePrecision = Annotated[Literal["fp32", "bf16", "fp16"], BeforeValidator(_word)]
TrainingPrecision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16", "bf16-true", "16-true", "64-true"],
    BeforeValidator(_word),
    Words("auto, fp32, bf16 or fp16, the last two mixed with fp32; or Lightning's bf16-true, 16-true, 64-true"),
]


def model_files(given: str | tuple[str, ...] | None) -> list[Path]:
    """The files that `Checkpoints` names; none where nothing is given."""
    names = () if given is None else (given,) if isinstance(given, str) else given
    return [Path(name).expanduser() for name in names]


class EngineSettings(Settings):
    """How a model file is opened.

    Args:
        precision: what a checkpoint computes in; an exported file has its own, and takes None.
        threads: threads of the CPU; None takes all.
        device: a GPU if there is one, or as named; exported files run on the CPU.
        tta: average over the image and its three mirror images (checkpoints only).
        size: (height, width) in pixels that the net works at, if not as trained (checkpoints only).
    """

    precision: EnginePrecision | None = None
    threads: Positive | None = None
    device: Device = "auto"
    tta: Flag = False
    size: NetSize | None = None

    @property
    def cores(self) -> int:
        """Threads of the CPU to use."""
        return self.threads or available_cores()
