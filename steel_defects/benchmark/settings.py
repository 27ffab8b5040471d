"""Settings of `benchmark`: conf/benchmark.yaml, and the systems and engines that can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import annotated_types as limits
from pydantic import AfterValidator, Field, model_validator

from steel_defects import CONF_DIR
from steel_defects.core.machine import available_cores
from steel_defects.core.paper import PAPER
from steel_defects.core.settings import (
    Count,
    Listed,
    NetSize,
    Number,
    PathName,
    Positive,
    Role,
    Settings,
    Text,
    Whole,
    Words,
    Wrong,
    as_typed,
)

AUTO, FASTEST = "auto", "fastest"


@dataclass(frozen=True)
class Kind:
    """An engine that can be asked for.

    Args:
        suffix: suffix of its file.
        precision: what it computes in.
        device: `cpu` or `cuda`.
    """

    suffix: str
    precision: str
    device: str = "cpu"


ENGINES = {
    "pytorch-fp32": Kind(".ckpt", "fp32"),
    "pytorch-bf16": Kind(".ckpt", "bf16"),
    "onnx-fp32": Kind(".onnx", "fp32"),
    "openvino-fp32": Kind(".xml", "fp32"),
    "openvino-bf16": Kind(".xml", "bf16"),
    "openvino-int8": Kind(".xml", "int8"),
    "openvino-int8-bf16": Kind(".xml", "int8-bf16"),
    "cuda-fp32": Kind(".ckpt", "fp32", "cuda"),
    "cuda-fp16": Kind(".ckpt", "fp16", "cuda"),
}


def known_systems() -> dict[str, list[str]]:
    """Overrides of conf/train.yaml by the name of the system: the paper's, then those of conf/encoder by theirs."""
    encoders = {path.stem: [f"encoder={path.stem}"] for path in sorted(Path(CONF_DIR, "encoder").glob("*.yaml"))}
    del encoders["any"]  # it has no name of its own
    papers = {path.stem for path in Path(CONF_DIR, "experiment", "paper").glob("*.yaml")}
    ordered = sorted(papers, key=lambda name: (list(PAPER).index(name) if name in PAPER else len(PAPER), name))
    return {name: [f"experiment=paper/{name}"] for name in ordered} | {
        name: overrides for name, overrides in encoders.items() if name not in papers
    }


def _once(values: tuple) -> tuple:
    return tuple(dict.fromkeys(values))


def _systems(names: tuple[str, ...]) -> tuple[str, ...]:
    known = known_systems()
    if not names or not set(names) <= set(known):
        raise Wrong(f"one or more of {', '.join(known)}")
    return names


def _engines(names: tuple[str, ...]) -> tuple[str, ...]:
    if names != (AUTO,) and (not names or not set(names) <= set(ENGINES)):
        raise Wrong(f"{AUTO}, or one or more of {', '.join(ENGINES)}")
    return names


Seconds = Annotated[Number, limits.Gt(0), Words("seconds, more than 0")]
Names = Annotated[tuple[Text, ...], Listed, AfterValidator(_once), Words("one or more names"), Role.WORDS]


class TrainingSettings(Settings):
    """A training step of each system; none where `steps` is 0."""

    steps: Count
    batch_size: Annotated[Whole, limits.Ge(2)]
    size: NetSize


class BenchmarkSettings(Settings):
    """All of conf/benchmark.yaml."""

    systems: Annotated[Names, AfterValidator(_systems)]
    sizes: Annotated[
        tuple[NetSize, ...],
        Field(min_length=1),
        AfterValidator(_once),
        Words("one or more [height,width], multiples of 16, as in sizes=[[256,256],[256,1600]]"),
    ]
    engines: Annotated[Names, AfterValidator(_engines)]
    threads: Positive | None
    rounds: Positive
    seconds: Seconds
    warmup: Seconds
    end_to_end: Names
    file_rounds: Positive
    input: PathName | None
    images: Positive
    train: TrainingSettings

    @property
    def cores(self) -> int:
        """Threads of the CPU to use."""
        return self.threads or available_cores()

    @model_validator(mode="after")
    def _fit_together(self) -> BenchmarkSettings:
        from steel_defects.data.synthetic.strip import MIN_SIDE  # --help does without OpenCV

        measured = [FASTEST, *(ENGINES if self.engines == (AUTO,) else self.engines)]
        messages = [
            f"end_to_end={name}: one or more of {', '.join(measured)}"
            for name in self.end_to_end
            if name not in measured
        ]
        if self.end_to_end and self.input is None and min(side for size in self.sizes for side in size) < MIN_SIDE:
            messages.append(
                f"sizes={as_typed(self.sizes)}: strips are drawn with sides of {MIN_SIDE} pixels or more; "
                "smaller sizes need input=<folder>, or end_to_end=[]"
            )
        if messages:
            raise Wrong("\n".join(messages))
        return self
