"""Settings of `export`: conf/export.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

import annotated_types as limits
from pydantic import Field

from steel_defects.core.settings import Flag, NetSize, Number, Path_, Positive, Role, Settings, Share, Words
from steel_defects.data.settings import DataChanges

Format = Literal["onnx", "openvino"]
Precision = Literal["fp32", "bf16", "int8", "int8-bf16"]
Part = Literal["val", "train", "test"]


class SampleSettings(Settings):
    """Which images are drawn for calibration."""

    part: Part
    images: Positive | None


class LimitSettings(Settings):
    """What an exported file may lose."""

    confidence: Annotated[Number, limits.Ge(0)] | None
    pixels: Share
    miou: Annotated[Number, limits.Ge(0)]


class ParitySettings(SampleSettings):
    """Which images a file is compared on, and what it may lose, by precision."""

    fp32: LimitSettings
    bf16: LimitSettings
    int8: LimitSettings


class ExportSettings(Settings):
    """All of conf/export.yaml."""

    checkpoint: Path_ | None
    format: Annotated[
        Format | Annotated[tuple[Format, ...], Field(min_length=1)], Words("onnx or openvino, or both"), Role.WORDS
    ]
    precision: Annotated[
        Precision | Annotated[tuple[Precision, ...], Field(min_length=1)],
        Words("one or more of fp32, bf16, int8, int8-bf16"),
        Role.WORDS,
    ]
    output: Path_ | None
    maps: Literal["classes", "probabilities"]
    size: NetSize | None
    overwrite: Flag
    data: DataChanges
    calibration: SampleSettings
    parity: ParitySettings
    threads: Positive | None
