"""What a report is made of: runs as they were read, systems, and what is left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from steel_defects.core.runs import RunFolder
from steel_defects.page.content import Omission


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run, read.

    Args:
        folder: that it lies in.
        summary: `summary.json`.
        settings: its configuration, by dotted key.
        overrides: as typed.
        history: a row an epoch; empty where the file is missing.
        per_image: a row a test image by `ImageId`; None where the file is missing.
        predictions: columns `ClassId`, `EncodedPixels`, `ResizedPixels` by `ImageId`; None where the file is missing.
    """

    folder: RunFolder
    summary: dict
    settings: dict[str, Any]
    overrides: list[str]
    history: pd.DataFrame
    per_image: pd.DataFrame | None
    predictions: pd.DataFrame | None

    @property
    def tested(self) -> pd.DataFrame:
        """`per_image`, of a run that has the file."""
        assert self.per_image is not None, f"{self.folder.per_image} is missing"
        return self.per_image

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return self.summary["seed"]

    @property
    def classes(self) -> list[str]:
        """Names of the defect classes."""
        return self.summary["data"]["classes"]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels that the net works at."""
        return tuple(self.summary["data"]["size"])

    def images_per_s(self, size: str) -> float | None:
        """Speed at batch 1, of images `resized` or at their `original` size; None where it was not measured."""
        return (self.summary["speed"].get(size) or {}).get("images_per_s")

    @property
    def peak_bytes(self) -> int | None:
        """Greatest memory in use while it trained."""
        return (self.summary.get("peak_memory") or {}).get("bytes")

    def defective(self, native: bool) -> pd.DataFrame:
        """The rows of `per_image` whose truth has a defect, at the images' own size or at the net's."""
        prefix = "native_true_" if native else "true_"
        return self.tested[self.tested[[f"{prefix}{name}" for name in self.classes]].any(axis=1)]

    def test_set(self) -> tuple:
        """Equal for runs that were tested on the same images with the same labels."""
        pixels = self.tested[[f"native_true_{name}" for name in self.classes]]
        return tuple(sorted(pixels.itertuples(name=None)))


@dataclass(frozen=True, eq=False)
class System:
    """Runs that differ in their seed alone.

    Args:
        name: unlike that of any other system of the study.
        paper: its name in the paper's tables; None where it is not in them.
        runs: at least one, by seed.
    """

    name: str
    paper: str | None
    runs: list[Run]

    @property
    def seeds(self) -> list[int]:
        """Seeds of the runs, in their order."""
        return [run.seed for run in self.runs]


@dataclass(frozen=True, eq=False)
class Study:
    """What a report is about. All runs are of the same data and classes.

    Args:
        systems: at least one; the paper's first, in its order.
        omissions: what is not reported, or not in full.
    """

    systems: list[System]
    omissions: list[Omission] = field(default_factory=list)

    @property
    def runs(self) -> list[Run]:
        """All runs, system by system."""
        return [run for system in self.systems for run in system.runs]

    @property
    def classes(self) -> list[str]:
        """Names of the defect classes."""
        return self.systems[0].runs[0].classes
