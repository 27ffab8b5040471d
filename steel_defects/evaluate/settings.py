"""Settings of `evaluate`: conf/evaluate.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import annotated_types as limits
from pydantic import Field, model_validator

from steel_defects.core.settings import (
    Count,
    Flag,
    NetSize,
    Positive,
    Role,
    Settings,
    Share,
    Text,
    Words,
    Wrong,
)
from steel_defects.data.settings import DataChanges
from steel_defects.inference.settings import Checkpoints, Device, EnginePrecision, model_files
from steel_defects.models.settings import ScoreNames


class TuningSettings(Settings):
    """What is tried for each class."""

    thresholds: Annotated[tuple[Share, ...], Field(min_length=1), Words("a list of probabilities, each from 0 to 1")]
    min_areas: Annotated[
        tuple[Annotated[Count, limits.Le(2**31 - 1)], ...],  # the most that a decision may have
        Field(min_length=1),
        Words("a list of whole numbers of pixels, 0 or more"),
    ]


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
    scores: ScoreNames

    @property
    def models(self) -> list[Path]:
        """The model files; of several, the probabilities are averaged."""
        return model_files(self.checkpoint)

    @model_validator(mode="after")
    def _fit_together(self) -> EvaluateSettings:
        messages = []
        if not self.models:
            messages.append(
                "checkpoint=<file> is missing: a .ckpt (a run's is in <run>/checkpoints/best.ckpt), .onnx or .xml; "
                "several checkpoints are averaged: checkpoint=[a.ckpt,b.ckpt]"
            )
        if self.tune and self.decision != "auto":
            messages.append(f"tune=true finds a decision of its own; leave out decision={self.decision}")
        if self.tune and any(model.suffix.lower() != ".ckpt" for model in self.models):
            messages.append("tune=true is for checkpoints: tune the checkpoint, then export it again")
        if messages:
            raise Wrong("\n".join(messages))
        return self
