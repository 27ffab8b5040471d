"""Settings of `benchmark`: conf/benchmark.yaml."""

from __future__ import annotations

from typing import Annotated

import annotated_types as limits
from pydantic import Field

from steel_defects.core.settings import Count, NetSize, Number, PathName, Positive, Role, Settings, Text, Whole, Words

Seconds = Annotated[Number, limits.Gt(0), Words("seconds, more than 0")]
Names = Annotated[Text | tuple[Text, ...] | None, Words("one or more names"), Role.WORDS]


class TrainingSettings(Settings):
    """A training step of each system."""

    steps: Count
    batch_size: Annotated[Whole, limits.Ge(2)]
    size: NetSize


class BenchmarkSettings(Settings):
    """All of conf/benchmark.yaml."""

    systems: Names
    sizes: Annotated[
        tuple[NetSize, ...],
        Field(min_length=1),
        Words("one or more [height,width], multiples of 16, as in sizes=[[256,256],[256,1600]]"),
    ]
    engines: Names
    threads: Positive | None
    rounds: Positive
    seconds: Seconds
    warmup: Seconds
    end_to_end: Names
    file_rounds: Positive
    input: PathName | None
    images: Positive
    train: TrainingSettings
