"""Settings that all commands which run a trained net have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from steel_defects.core.settings import PathName, Role, Words

Checkpoints = Annotated[
    PathName | tuple[PathName, ...], Words("a model file, or several checkpoints: [a.ckpt,b.ckpt]"), Role.PATH
]
Device = Literal["auto", "cpu", "cuda"]
EnginePrecision = Literal["fp32", "bf16", "fp16"]


def model_files(given: str | tuple[str, ...] | None) -> list[Path]:
    """The files that `Checkpoints` names; none where nothing is given."""
    names = () if given is None else (given,) if isinstance(given, str) else given
    return [Path(name).expanduser() for name in names]
