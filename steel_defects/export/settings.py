"""Settings of `export`: conf/export.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import annotated_types as limits
from pydantic import Field, model_validator

from steel_defects.core.settings import (
    Flag,
    Listed,
    NetSize,
    Number,
    PathName,
    Positive,
    Role,
    Settings,
    Share,
    Words,
    Wrong,
)
from steel_defects.data.settings import DataChanges

Format = Literal["onnx", "openvino"]
Precision = Literal["fp32", "bf16", "int8", "int8-bf16"]
Part = Literal["val", "train", "test"]


PRECISIONS: Mapping[Format, tuple[Precision, ...]] = {
    "onnx": ("fp32", "int8"),
    "openvino": ("fp32", "bf16", "int8", "int8-bf16"),
}


class SampleSettings(Settings):
    """Which images are drawn, evenly from a part of the split."""

    part: Part
    images: Positive | None


class LimitSettings(Settings):
    """What an exported file may lose.

    Args:
        confidence: largest difference of a pixel's confidence; None sets no limit.
        pixels: least share of pixels decided alike.
        miou: largest loss of `miou` at the images' own size; a gain is no loss.
    """

    confidence: Annotated[Number, limits.Ge(0)] | None
    pixels: Share
    miou: Annotated[Number, limits.Ge(0)]


class ParitySettings(SampleSettings):
    """Which images a file is compared on, and what it may lose, by precision."""

    fp32: LimitSettings
    bf16: LimitSettings
    int8: LimitSettings

    def limits(self, precision: Precision) -> LimitSettings:
        """What a file of a precision may lose; `int8-bf16` counts as int8."""
        return {"fp32": self.fp32, "bf16": self.bf16}.get(precision, self.int8)


class ExportSettings(Settings):
    """All of conf/export.yaml."""

    checkpoint: Annotated[PathName | None, Words("one checkpoint; several are averaged by evaluate and predict only")]
    format: Annotated[tuple[Format, ...], Listed, Field(min_length=1), Words("onnx or openvino, or both"), Role.WORDS]
    precision: Annotated[
        tuple[Precision, ...],
        Listed,
        Field(min_length=1),
        Words("one or more of fp32, bf16, int8, int8-bf16"),
        Role.WORDS,
    ]
    output: PathName | None
    maps: Literal["classes", "probabilities"]
    size: NetSize | None
    overwrite: Flag
    data: DataChanges
    calibration: SampleSettings
    parity: ParitySettings
    threads: Positive | None

    @property
    def wanted(self) -> list[tuple[Format, Precision]]:
        """The pairs of format and precision to write: those asked for that the format's engine computes in."""
        return [(f, p) for f in self.format for p in self.precision if p in PRECISIONS[f]]

    @property
    def not_offered(self) -> list[tuple[Format, Precision]]:
        """The pairs asked for that no engine computes in."""
        return [(f, p) for f in self.format for p in self.precision if p not in PRECISIONS[f]]

    @model_validator(mode="after")
    def _fit_together(self) -> ExportSettings:
        messages = []
        if self.checkpoint is None:
            messages.append("checkpoint=<file> is missing: a run's is in <run>/checkpoints/best.ckpt")
        if not self.wanted:
            offered = "; ".join(f"{name} in {', '.join(all_of)}" for name, all_of in PRECISIONS.items())
            messages.append(f"nothing to write: there is {offered}")
        if messages:
            raise Wrong("\n".join(messages))
        return self
