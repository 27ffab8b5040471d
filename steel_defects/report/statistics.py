"""The numbers of a report's tables and charts, from the rows and summaries of its runs; nothing is formatted here.

A number of a system is taken for each of its runs and given as their spread. Runs without rows of their test images
(`per_image` is None) are left out of what needs these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from steel_defects.report.records import Run, System

_LEAST_PAIRS = 5  # a bin: the mean of fewer says little


@dataclass(frozen=True)
class Spread:
    """A number over several runs.

    Args:
        mean: of the values.
        std: sample standard deviation (n - 1); None of a single value.
        count: of the values.
    """

    mean: float
    std: float | None
    count: int


@dataclass(frozen=True)
class ClassScores:
    """How well a system finds the defects of one class; a score is None where no run defines it.

    Args:
        name: of the class.
        jaccard: IoU over all pixels of the test set.
        iou: mean IoU of the images where it is defined (the class is there, or predicted).
        detection: share of the images with the class in which a predicted pixel hits a true one.
        precision: share of the images in which the class is predicted where a predicted pixel hits a true one.
        pixel_precision: share of the predicted pixels that are true.
        pixel_recall: share of the true pixels that are predicted.
        images: test images with the class; those of all runs together, each counted once.
    """

    name: str
    jaccard: Spread | None
    iou: Spread | None
    detection: Spread | None
    precision: Spread | None
    pixel_precision: Spread | None
    pixel_recall: Spread | None
    images: int


@dataclass(frozen=True)
class FalseAlarms:
    """What a system predicts where there is nothing.

    Args:
        images: clean test images; those of all runs together, each counted once.
        share: of the clean images, those with any predicted pixel.
        classes: by class, those with a predicted pixel of it.
    """

    images: int
    share: Spread
    classes: Mapping[str, Spread]


@dataclass(frozen=True, eq=False)
class SizeBins:
    """IoU against the size of defects.

    Args:
        edges: sizes in pixels of the images' own size, float [B + 1], rising; a bin holds its lower edge, the last bin
            both. Where all defects are of one size there is one bin, and both edges are that size.
        counts: (image, class) pairs in each bin, int [B]; a pair that several runs were tested on counts once.
        iou: by system, the mean native IoU in each bin, float [B]; NaN where none of its test images is in it.
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
    keys = dict.fromkeys(key for test in tests for key in test)
    spreads = {key: spread([test.get(key) for test in tests]) for key in keys}
    return {key: value for key, value in spreads.items() if value is not None}


def class_rows(system: System, native: bool) -> list[ClassScores]:
    """Scores of each class, in the order of the classes; an empty list where no run has rows.

    Args:
        system: whose runs are scored.
        native: whether at the images' own size, or at that of the net.
    """
    tables = _tables(system, native)
    if not tables:
        return []
    rows = []
    for name in system.runs[0].classes:
        runs = pd.DataFrame([_class_scores(table, name) for table in tables])
        images = {image for table in tables for image in table.index[table[f"true_{name}"] > 0]}
        rows.append(ClassScores(name, **{key: spread(runs[key]) for key in runs}, images=len(images)))
    return rows


def confusion(system: System, native: bool) -> np.ndarray | None:
    """Which class the pixels of each class are predicted as, all runs together.

    Args:
        system: whose runs are added up.
        native: whether pixels of the images' own size are counted, or of the net's.

    Returns:
        float [C + 1, C + 1], truth (rows) by prediction (columns), the background first. Rows sum to 1; they are NaN
        where the truth has no such pixel. None where no run has a confusion matrix.
    """
    key = "native_confusion" if native else "confusion"
    matrices = [run.summary[key] for run in system.runs if run.summary.get(key) is not None]
    if not matrices:
        return None
    total = np.sum(matrices, axis=0, dtype=float)
    with np.errstate(invalid="ignore"):
        return total / total.sum(axis=1, keepdims=True)


def false_alarms(system: System) -> FalseAlarms | None:
    """Predictions on clean test images, at the images' own size; None where there is no clean image."""
    classes = system.runs[0].classes
    clean = [rows[~rows[[f"true_{name}" for name in classes]].any(axis=1)] for rows in _tables(system, native=True)]
    clean = [rows for rows in clean if len(rows)]
    if not clean:
        return None
    alarms = [rows[[f"predicted_{name}" for name in classes]] > 0 for rows in clean]
    return FalseAlarms(
        len({image for rows in clean for image in rows.index}),
        _spread([alarm.any(axis=1).mean() for alarm in alarms]),
        {name: _spread([alarm[f"predicted_{name}"].mean() for alarm in alarms]) for name in classes},
    )


def _spread(values: Sequence[float]) -> Spread:
    found = spread(values)
    assert found is not None, "there are values, and all are numbers"
    return found


def size_bins(systems: Sequence[System], class_index: int | None, bins: int = 6) -> SizeBins | None:
    """IoU of defects of about the same size, for each system.

    The defect of an (image, class) pair is all true pixels of that class in it. A system's mean is over the pairs of
    all its runs.

    Args:
        systems: in their order; those without rows are absent from the result.
        class_index: of the one class to look at, 0 the first defect class; None for all of them.
        bins: how many, of about as many pairs each; they get fewer with few pairs, or with many of one size.

    Returns:
        The same bins for all systems; None where there is no defect.
    """
    pairs = {system.name: _pairs(system.runs, class_index) for system in systems}
    pairs = {name: own for name, own in pairs.items() if len(own)}
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
    for name, own in pairs.items():
        means = own["iou"].groupby(bin_of(own["size"])).mean()
        iou[name] = means.reindex(range(len(edges) - 1)).to_numpy()
    return SizeBins(edges, np.bincount(bin_of(distinct), minlength=len(edges) - 1), iou)


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which points are not dominated; higher is better in both coordinates.

    A point is dominated if another is at least as good in both and better in one; of equal points, both stay.

    Args:
        points: finite coordinates.

    Returns:
        Their indices, by the first coordinate, rising.

    Raises:
        ValueError: for NaN, which is neither better nor worse.
    """
    if np.isnan(np.asarray(points, float)).any():
        raise ValueError("a point has no value (NaN)")

    def dominated(x: float, y: float) -> bool:
        return any(u >= x and v >= y and (u > x or v > y) for u, v in points)

    return sorted((i for i, point in enumerate(points) if not dominated(*point)), key=lambda i: points[i][0])


def _tables(system: System, native: bool) -> list[pd.DataFrame]:
    """Rows of the test images of each run that has them, the columns of the size in question without `native_`."""
    tables = [run.per_image for run in system.runs if run.per_image is not None]
    if not native:
        return tables
    return [table.filter(regex="^native_").rename(columns=lambda name: name[len("native_") :]) for table in tables]


def _class_scores(table: pd.DataFrame, name: str) -> dict[str, float]:
    """The scores of `ClassScores` of one run; NaN where undefined."""
    true, predicted, hit = (table[f"{key}_{name}"] for key in ("true", "predicted", "hit"))
    pixels = {"true": true.sum(), "predicted": predicted.sum(), "hit": hit.sum()}
    union = pixels["true"] + pixels["predicted"] - pixels["hit"]
    return {
        "jaccard": pixels["hit"] / union if union else np.nan,
        "iou": table[f"iou_{name}"].mean(),
        "detection": (hit[true > 0] > 0).mean(),
        "precision": (hit[predicted > 0] > 0).mean(),
        "pixel_precision": pixels["hit"] / pixels["predicted"] if pixels["predicted"] else np.nan,
        "pixel_recall": pixels["hit"] / pixels["true"] if pixels["true"] else np.nan,
    }


def _pairs(runs: Sequence[Run], class_index: int | None) -> pd.DataFrame:
    """The (image, class) pairs with a defect, of each run: columns image, class, size (native pixels), iou."""
    parts = []
    for run in runs:
        if run.per_image is None:
            continue
        for name in run.classes if class_index is None else [run.classes[class_index]]:
            rows = run.per_image[run.per_image[f"native_true_{name}"] > 0]
            size, iou = rows[f"native_true_{name}"].to_numpy(), rows[f"native_iou_{name}"].to_numpy()
            parts.append(pd.DataFrame({"image": rows.index, "class": name, "size": size, "iou": iou}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
