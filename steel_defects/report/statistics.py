"""The numbers of a report's tables and charts, from the rows and summaries of its runs; nothing is formatted here.

A number of a system is taken for each of its runs and given as their spread. Runs without rows of their test images
(`per_image` is None) are left out of what needs these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from steel_defects.models.scores import class_scores
from steel_defects.report.records import Run, System

_LEAST_PAIRS = 5  # a bin: the mean of fewer says little


@dataclass(frozen=True)
class Spread:
    """A number over several runs.

    Args:
        mean: mean of the values.
        std: sample standard deviation (n - 1); None of a single value.
        count: number of values.
    """

    mean: float
    std: float | None
    count: int


@dataclass(frozen=True)
class ClassScores:
    """How well a system finds the defects of one class, see `class_scores`; a score is None where no run defines it.

    Args:
        name: name of the class.
        images: test images with the class; those of all runs together, each counted once.
        jaccard, iou, detection, precision, pixel_precision, pixel_recall: scores at the images' own size.
    """

    name: str
    images: int
    jaccard: Spread | None
    iou: Spread | None
    detection: Spread | None
    precision: Spread | None
    pixel_precision: Spread | None
    pixel_recall: Spread | None


@dataclass(frozen=True)
class FalseAlarms:
    """What a system predicts where there is nothing.

    Args:
        images: clean test images; those of all runs together, each counted once.
        share: share of the clean images with any predicted pixel.
        classes: share of them with a predicted pixel of the class, by class.
    """

    images: int
    share: Spread
    classes: Mapping[str, Spread | None]


@dataclass(frozen=True, eq=False)
class SizeBins:
    """IoU against the size of defects.

    Args:
        edges: sizes in pixels of the images' own size, float [B + 1], rising; a bin holds its lower edge, the last bin
            both. Where all defects are of one size there is one bin, and both edges are that size.
        counts: (image, class) pairs in each bin, int [B]; a pair that several runs were tested on counts once.
        iou: mean native IoU in each bin by system, float [B]; NaN where none of its test images is in it.
    """

    edges: np.ndarray
    counts: np.ndarray
    iou: Mapping[str, np.ndarray]


def spread(values: Sequence[float | None]) -> Spread | None:
    """Mean and deviation of the values that are there (neither None nor NaN); None where none is."""
    known = np.array([value for value in values if value is not None], float)
    known = known[~np.isnan(known)]
    if not len(known):
        return None
    return Spread(float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else None, len(known))


def test_scores(system: System) -> dict[str, Spread]:
    """All scores of `summary["test"]`, at the net's size and `native_*`; those that no run defines are absent."""
    tests = [run.summary["test"] for run in system.runs]
    spreads = {key: spread([test.get(key) for test in tests]) for some in tests for key in some}
    return {key: value for key, value in spreads.items() if value is not None}


def class_rows(system: System) -> list[ClassScores]:
    """Scores of each class, in the order of the classes; an empty list where no run has rows."""
    tables = [run.tested.filter(regex="^native_") for run in _with_rows(system)]
    tables = [table.rename(columns=lambda name: name.removeprefix("native_")) for table in tables]
    if not tables:
        return []
    rows = []
    for name in system.runs[0].classes:
        images = {image for table in tables for image in table.index[table[f"true_{name}"] > 0]}
        runs = pd.DataFrame([class_scores(table, name) for table in tables])
        rows.append(ClassScores(name, len(images), **{key: spread(runs[key]) for key in runs}))
    return rows


def confusion(system: System) -> np.ndarray | None:
    """Which class the pixels of each class are predicted as, at the images' own size, all runs together.

    Returns:
        float [C + 1, C + 1], truth (rows) by prediction (columns), the background first. Rows sum to 1; they are NaN
        where the truth has no such pixel. None where no run has a confusion matrix.
    """
    known = [run.summary["native_confusion"] for run in system.runs if run.summary.get("native_confusion") is not None]
    if not known:
        return None
    total = np.array(known, float).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return total / total.sum(axis=1, keepdims=True)


def false_alarms(system: System) -> FalseAlarms | None:
    """Predictions on clean test images, at the images' own size; None where there is no clean image."""
    names = system.runs[0].classes
    clean = [run.tested[~run.true_pixels(native=True).any(axis=1)] for run in _with_rows(system)]
    alarms = [rows[[f"native_predicted_{name}" for name in names]].set_axis(names, axis=1) > 0 for rows in clean]
    alarms = [alarm for alarm in alarms if len(alarm)]
    share = spread([alarm.any(axis=1).mean() for alarm in alarms])
    if share is None:
        return None
    images = {image for alarm in alarms for image in alarm.index}
    return FalseAlarms(len(images), share, {name: spread([alarm[name].mean() for alarm in alarms]) for name in names})


def size_bins(systems: Sequence[System], bins: int = 6) -> SizeBins | None:
    """IoU of defects of about the same size, for each system.

    The defect of an (image, class) pair is all true pixels of that class in it. A system's mean is over the pairs of
    all its runs.

    Args:
        systems: systems in their order; those without rows are absent from the result.
        bins: number of bins, of about as many pairs each; fewer with few pairs, or with many of one size.

    Returns:
        The same bins for all systems; None where there is no defect.
    """
    pairs = {
        system.name: pd.concat([_pairs(run) for run in runs]) for system in systems if (runs := _with_rows(system))
    }
    pairs = {name: table for name, table in pairs.items() if len(table)}
    if not pairs:
        return None
    distinct = pd.concat(pairs.values()).drop_duplicates(["image", "class", "size"])["size"].to_numpy()
    bins = max(1, min(bins, len(distinct) // _LEAST_PAIRS))
    # Edges are sizes that occur, so that no bin is empty.
    edges = np.unique(np.quantile(distinct, np.linspace(0, 1, bins + 1), method="higher")).astype(float)
    if len(edges) == 1:
        edges = edges.repeat(2)

    def bin_of(sizes: pd.Series | np.ndarray) -> np.ndarray:
        return np.clip(np.searchsorted(edges, sizes, side="right") - 1, 0, len(edges) - 2)

    iou = {}
    for name, table in pairs.items():
        means = table["iou"].groupby(bin_of(table["size"])).mean()
        iou[name] = means.reindex(range(len(edges) - 1)).to_numpy()
    return SizeBins(edges, np.bincount(bin_of(distinct), minlength=len(edges) - 1), iou)


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which points are not dominated; higher is better in both coordinates.

    A point is dominated if another is at least as good in both and better in one; of equal points, both stay.

    Args:
        points: finite coordinates.

    Returns:
        Their indices, by the first coordinate, rising.
    """

    def dominated(x: float, y: float) -> bool:
        return any(u >= x and v >= y and (u > x or v > y) for u, v in points)

    return sorted((i for i, point in enumerate(points) if not dominated(*point)), key=lambda i: points[i][0])


def _with_rows(system: System) -> list[Run]:
    return [run for run in system.runs if run.per_image is not None]


def _pairs(run: Run) -> pd.DataFrame:
    """The (image, class) pairs with a defect: columns image, class, size (native pixels), iou."""
    parts = []
    for name in run.classes:
        rows = run.tested[run.tested[f"native_true_{name}"] > 0]
        size, iou = rows[f"native_true_{name}"].to_numpy(), rows[f"native_iou_{name}"].to_numpy()
        parts.append(pd.DataFrame({"image": rows.index, "class": name, "size": size, "iou": iou}))
    return pd.concat(parts, ignore_index=True)
