"""What a report is made of: runs as they were read, systems, and what is left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from steel_defects.core.runs import RunFolder
from steel_defects.page.content import Omission


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run, as it was read.

    Args:
        folder: the folder it lies in.
        summary: content of `summary.json`.
        settings: its configuration, by dotted key; runs of earlier versions have other keys.
        overrides: its settings as they were typed.
        history: a row an epoch; empty where the file is missing.
        per_image: a row a test image, by `ImageId`; None where the file is missing.
        predictions: columns `ClassId`, `EncodedPixels`, `ResizedPixels`, by `ImageId`; None where the file is missing.
    """

    folder: RunFolder
    summary: dict[str, Any]
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

    def true_pixels(self, native: bool) -> pd.DataFrame:
        """True pixels of each class, a row a test image, at the images' own size or at the net's."""
        return self.tested[[f"{'native_' if native else ''}true_{name}" for name in self.classes]]

    def defective(self, native: bool) -> pd.DataFrame:
        """The rows of `per_image` whose truth has a defect, at the images' own size or at the net's."""
        return self.tested[self.true_pixels(native).any(axis=1)]

    def test_set(self) -> tuple:
        """Equal for runs that were tested on the same images with the same labels."""
        return tuple(sorted(self.true_pixels(native=True).itertuples(name=None)))


@dataclass(frozen=True, eq=False)
class System:
    """Runs that differ in their seed alone.

    Args:
        name: name unlike that of any other system of the study.
        paper: its name in the paper's tables; None where it is not in them.
        runs: runs by seed, at least one.
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
        systems: systems, at least one; the paper's first, in its order.
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


def results_table(study: Study) -> pd.DataFrame:
    """results.csv, a row a run: system, seed, what was trained, all scores, speeds, memory in bytes, hashes, folder."""
    rows = []
    for system in study.systems:
        for run in system.runs:
            summary, speed = run.summary, run.summary["speed"]
            trained = ("architecture", "encoder", "weights", "recipe", "epochs", "best_epoch", "parameters", "gmacs")
            rows.append(
                {"system": system.name, "seed": run.seed}
                | {key: summary.get(key) for key in trained}
                | {"height": run.size[0], "width": run.size[1]}
                | summary["test"]
                | {key: speed.get(key) for key in ("train_it_per_s", "batch_size")}
                | {f"images_per_s_{size}": run.images_per_s(size) for size in ("resized", "original")}
                | {"peak_memory": run.peak_bytes}
                | {key: summary.get(key) for key in ("device", "precision", "threads", "processes", "seconds")}
                | {key: summary["data"].get(key) for key in ("data_hash", "split_hash")}
                | {"folder": str(run.folder.path)}
            )
    return pd.DataFrame(rows)
