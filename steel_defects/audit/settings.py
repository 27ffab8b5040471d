"""Settings of `audit`: conf/audit.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, model_validator

from steel_defects.core.settings import (
    Count,
    Flag,
    FormerName,
    NetSize,
    PathName,
    Positive,
    Role,
    Settings,
    Share,
    Text,
    Words,
    Wrong,
)
from steel_defects.data.settings import DataChanges
from steel_defects.inference.settings import Device, EnginePrecision, TrainingPrecision


def _of_torch(checkpoint: str) -> str:
    if Path(checkpoint).suffix.lower() != ".ckpt":
        raise Wrong("a .ckpt; exported files give no probabilities of all classes")
    return checkpoint


def _trains(folds: int) -> int:
    if folds == 1:
        raise Wrong("leaves nothing to train on; 2 or more, or 0 for the checkpoint alone")
    return folds


class FoldTrainerSettings(Settings):
    """How the folds' nets are trained, where it is not as the run was."""

    device: Annotated[Device, FormerName("accelerator")] | None
    precision: TrainingPrecision | None


class AuditSettings(Settings):
    """All of conf/audit.yaml."""

    checkpoint: Annotated[PathName, AfterValidator(_of_torch)] | None
    folds: Annotated[Count, AfterValidator(_trains), Words("a whole number, 2 or more, or 0 for the checkpoint alone")]
    epochs: Positive | None
    size: NetSize | None
    seed: Count
    spoil: Share
    reviewed: PathName | None
    data: DataChanges
    trainer: FoldTrainerSettings
    tta: Flag
    precision: EnginePrecision | None
    threads: Positive | None
    device: Device
    title: Annotated[Text, Role.PATH]
    least: Share
    shown: Count

    @property
    def model(self) -> Path | None:
        """The checkpoint's file."""
        return Path(self.checkpoint).expanduser() if self.checkpoint else None

    @model_validator(mode="after")
    def _fit_together(self) -> AuditSettings:
        faults = []
        if not self.checkpoint and not self.reviewed:
            faults.append(
                "checkpoint=<run>/checkpoints/best.ckpt says how to train the nets that judge; or reviewed=<audit.csv> "
                "corrects labels by a reviewer's verdicts"
            )
        if self.folds:
            if self.data.split.file:
                faults.append("data.split.file is for folds=0: the folds are a split of their own")
        else:
            if self.epochs:
                faults.append(f"epochs={self.epochs} is for the nets of the folds, and folds=0 trains none")
            if self.size:
                faults.append(f"size={list(self.size)} is for the nets of the folds, and folds=0 trains none")
        if faults:
            raise Wrong("\n".join(faults))
        return self
