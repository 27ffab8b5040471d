"""Settings of `predict`: conf/predict.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

import annotated_types as limits

from steel_defects.core.settings import Flag, NetSize, Path_, Role, Settings, Text, Whole, Words

Checkpoints = Annotated[
    Path_ | tuple[Path_, ...], Words("a model file, or several checkpoints: [a.ckpt,b.ckpt]"), Role.PATH
]


class PredictSettings(Settings):
    """All of conf/predict.yaml."""

    checkpoint: Checkpoints
    input: Path_
    output: Path_
    decision: Annotated[Text, Words("auto, argmax, or a JSON file"), Role.PATH]
    white: Annotated[Whole, limits.Ge(1), limits.Le(65535)] | None
    masks: Flag
    overlays: Flag
    quality: Annotated[Whole, limits.Ge(1), limits.Le(100)]
    submission: Path_ | None
    resume: Flag
    progress: Flag
    precision: Literal["fp32", "bf16", "fp16"] | None
    size: NetSize | None
    tta: Flag
    device: Literal["auto", "cpu", "cuda"]
    threads: Annotated[Whole, limits.Ge(1), limits.Le(4096)] | None

    @property
    def models(self) -> tuple[str, ...]:
        """The model files; of several, the probabilities are averaged."""
        return (self.checkpoint,) if isinstance(self.checkpoint, str) else self.checkpoint
