"""Settings of `predict`: conf/predict.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import annotated_types as limits

from steel_defects.core.settings import Flag, NetSize, PathName, Role, Settings, Text, Whole, Words
from steel_defects.inference.settings import Checkpoints, Device, EnginePrecision, model_files


class PredictSettings(Settings):
    """All of conf/predict.yaml."""

    checkpoint: Checkpoints
    input: PathName
    output: PathName
    decision: Annotated[Text, Words("auto, argmax, or a JSON file"), Role.PATH]
    white: Annotated[Whole, limits.Ge(1), limits.Le(65535)] | None
    masks: Flag
    overlays: Flag
    quality: Annotated[Whole, limits.Ge(1), limits.Le(100)]
    submission: PathName | None
    resume: Flag
    progress: Flag
    precision: EnginePrecision | None
    size: NetSize | None
    tta: Flag
    device: Device
    threads: Annotated[Whole, limits.Ge(1), limits.Le(4096)] | None

    @property
    def models(self) -> list[Path]:
        """The model files; of several, the probabilities are averaged."""
        return model_files(self.checkpoint)
