"""Whether two systems differ on the test images: paired bootstrap of the difference of their scores.

Test images are drawn with replacement, again and again, always the same ones for both systems; the interval is what
the middle 95 % of the draws give. It answers: would the difference be there with other test images of the same kind?
It does not speak of the spread over seeds: the seeds of a system are averaged before, and another training may give
other nets. Each pair has an interval of its own: of twenty pairs without any difference, about one shows one.
With few images (below about 20) the interval is too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from steel_defects.page.content import Omission
from steel_defects.report.records import Run, System

_DRAWN_AT_ONCE = 1_000_000  # numbers held at a time: 12 MB with the scores that they stand for


@dataclass(frozen=True)
class Difference:
    """How far apart two systems are on the same images.

    Args:
        first, second: names of the systems.
        mean: score of the first minus that of the second, over the images.
        low, high: bounds of the interval of `mean`.
        images: number of test images with a defect that both were scored on.
    """

    first: str
    second: str
    mean: float
    low: float
    high: float
    images: int

    @property
    def shown(self) -> bool:
        """Whether the images show a difference: the interval does not contain 0, nor touch it."""
        return not self.low <= 0 <= self.high


def paired_difference(
    first: np.ndarray, second: np.ndarray, draws: int = 10_000, level: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """Mean difference of two scores of the same images, with its percentile bootstrap interval.

    Args:
        first: a score an image, float [N], of magnitude 1: differences are rounded to 1e-12.
        second: likewise, of the same images in the same order.
        draws: number of times that N images are drawn with replacement.
        level: share of the draws that the interval covers, 0..1.
        seed: seed of the draws.

    Returns:
        The mean of first minus second, the lower and the upper bound of its interval.

    Raises:
        ValueError: for scores of different lengths, for NaN, for no image.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"not two scores of the same images: shapes {first.shape} and {second.shape}")
    if not len(first):
        raise ValueError("no image to draw from")
    # Means over the same seeds in another order differ in their last digits, which is no difference of systems.
    difference = np.round(first - second, 12)
    if np.isnan(difference).any():
        raise ValueError(f"{np.isnan(difference).sum()} of {len(difference)} images have no score (NaN)")
    rng = np.random.default_rng(seed)
    count = len(difference)
    means = np.empty(draws)
    step = max(1, _DRAWN_AT_ONCE // count)
    for start in range(0, draws, step):
        part = means[start : start + step]
        part[:] = difference[rng.integers(count, size=(len(part), count), dtype=np.int32)].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(difference.mean()), float(low), float(high)


def compare(systems: Sequence[System], native: bool) -> tuple[list[Difference], list[Omission]]:
    """Compare any two systems by the IoU of the test images whose truth has a defect (`miou`, `native_miou`).

    The score of a system for an image is the mean over its runs. Two systems are compared where they were tested on
    the same images with the same labels; of runs with several test sets, those of the common one with most runs count.
    At the nets' size a defect may vanish at one size and not at another: images that have one for both count.

    Args:
        systems: systems to compare, in their order.
        native: whether IoU is taken at the images' own size, or at that of the net.

    Returns:
        A difference for each pair that can be compared, the earlier system first; and the pairs ("A / B") that cannot
        be, or not with all of their runs, with the reason.
    """
    by_test_set = {system.name: _by_test_set(system) for system in systems}
    differences, omissions = [], []
    for pair in combinations(systems, 2):
        names = [system.name for system in pair]
        path = " / ".join(names)
        ours, theirs = (by_test_set[name] for name in names)
        common = [test_set for test_set in ours if test_set in theirs]
        if not common:
            omissions.append(Omission(path, f"not compared image by image: {_apart(names, (ours, theirs))}"))
            continue
        shared = max(common, key=lambda test_set: len(ours[test_set]) + len(theirs[test_set]))
        first, second = _scores(ours[shared], native).align(_scores(theirs[shared], native), join="inner")
        if len(first) < 2:
            omissions.append(Omission(path, "not compared image by image: fewer than two test images have a defect"))
            continue
        interval = paired_difference(first.to_numpy(), second.to_numpy())
        differences.append(Difference(names[0], names[1], *interval, len(first)))
        for name, runs in zip(names, (ours, theirs), strict=True):
            used, of = len(runs[shared]), sum(map(len, runs.values()))
            if used < of:
                reason = f"compared with {used} of {of} runs of {name}: the rest had another test set"
                omissions.append(Omission(path, reason))
    return differences, omissions


def _by_test_set(system: System) -> dict[tuple, list[Run]]:
    """Runs with a row an image, by what they were tested on."""
    runs: dict[tuple, list[Run]] = {}
    for run in system.runs:
        if run.per_image is not None:
            runs.setdefault(run.test_set(), []).append(run)
    return runs


def _scores(runs: Sequence[Run], native: bool) -> pd.Series:
    """IoU of each image with a defect, mean over runs of the same test set, sorted by image."""
    columns = [run.defective(native)["native_iou" if native else "iou"] for run in runs]
    return pd.concat(columns, axis=1, join="inner").mean(axis=1).sort_index()


def _apart(names: Sequence[str], runs: Sequence[dict[tuple, list[Run]]]) -> str:
    """Why two systems have no test set in common, by the one that most runs of each have."""
    if without := [name for name, by_test_set in zip(names, runs, strict=True) if not by_test_set]:
        return "; ".join(f"no run of {name} has a per_image.csv" for name in without)
    ours, theirs = (
        {image: labels for image, *labels in max(by_test_set, key=lambda test_set: len(by_test_set[test_set]))}
        for by_test_set in runs
    )
    both = ours.keys() & theirs.keys()
    reasons = []
    if ours.keys() != theirs.keys():
        alone = (
            f"{name} alone has {len(images) - len(both)}" for name, images in zip(names, (ours, theirs), strict=True)
        )
        reasons.append(f"{len(both)} test images are shared, {', '.join(alone)}")
    if relabelled := sum(ours[image] != theirs[image] for image in both):
        reasons.append(f"the labels of {relabelled} shared images differ")
    return "; ".join(reasons)
