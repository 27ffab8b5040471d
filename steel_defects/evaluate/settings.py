"""Settings of `evaluate`: conf/evaluate.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from steel_defects.core.settings import Count, Flag, NetSize, Path_, Positive, Role, Settings, Share, Text, Words
from steel_defects.data.settings import DataChanges

Checkpoints = Annotated[
    Path_ | tuple[Path_, ...], Words("a model file, or several checkpoints: [a.ckpt,b.ckpt]"), Role.PATH
]
EnginePrecision = Literal["fp32", "bf16", "fp16"]
Device = Literal["auto", "cpu", "cuda"]


class TuningSettings(Settings):
    """What is tried for each class."""

    thresholds: Annotated[tuple[Share, ...], Field(min_length=1), Words("a list of probabilities, each from 0 to 1")]
    min_areas: Annotated[tuple[Count, ...], Field(min_length=1), Words("a list of whole numbers of pixels, 0 or more")]


class EvaluateSettings(Settings):
    """All of conf/evaluate.yaml."""

    checkpoint: Checkpoints | None
    part: Literal["test", "val", "train", "all"]
    data: DataChanges
    decision: Annotated[Text, Words("auto, argmax, or a file that tune=true has written"), Role.PATH]
    tune: Flag
    tuning: TuningSettings
    tta: Flag
    precision: EnginePrecision | None
    threads: Positive | None
    device: Device
    size: NetSize | None
    figures: Flag
