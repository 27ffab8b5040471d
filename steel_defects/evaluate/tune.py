"""Thresholds and minimum areas that score best on validation images.

Which defect class a pixel may have is fixed by the net; only whether it has it, or is background, is decided here, for
each class by its own threshold and area. So the classes do not touch each other, Kaggle's dice is a mean of one term a
class, and to try all pairs of threshold and area for each class is to try all decisions there are on the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from steel_defects.core.files import content_hash
from steel_defects.core.packages import versions
from steel_defects.core.runs import write_json
from steel_defects.data.catalog import Sample
from steel_defects.data.components import connected_runs
from steel_defects.data.datamodule import StripDataModule
from steel_defects.evaluate.settings import TuningSettings
from steel_defects.inference.decision import ARGMAX_THRESHOLD, Decision, Maps, decision_path
from steel_defects.inference.engine import Engine
from steel_defects.inference.stream import ordered_map
from steel_defects.models.scores import dice

_EQUAL = 1e-9  # sums of the same terms in another order


@dataclass(frozen=True, eq=False)
class Tuning:
    """What was tried, and what came of it.

    Args:
        thresholds: T of them, rising.
        areas: A of them, rising, in pixels at the images' own size.
        dice: float64 [C, T, A], Kaggle's dice of each class at the images' own size, mean over the images.
        error: float64 [C, T, A], standard error of its difference from argmax, image by image.
        images: number of images.
        holding: number of images that hold each class; a class that none holds is left at argmax.
    """

    thresholds: tuple[float, ...]
    areas: tuple[int, ...]
    dice: np.ndarray
    error: np.ndarray
    images: int
    holding: tuple[int, ...]

    @property
    def argmax(self) -> tuple[int, int]:
        """Where on the grid argmax is."""
        return self.thresholds.index(ARGMAX_THRESHOLD), self.areas.index(0)

    @property
    def chosen(self) -> list[tuple[int, int]]:
        """For each class the best place on the grid, among equals the one nearest to argmax.

        Argmax stays where the best gains no more than its standard error: that much comes of trying many.
        """
        distance = {
            (t, a): (round(abs(threshold - ARGMAX_THRESHOLD), 6), area)
            for t, threshold in enumerate(self.thresholds)
            for a, area in enumerate(self.areas)
        }
        places = []
        for grid, error, holding in zip(self.dice, self.error, self.holding, strict=True):
            equals = [place for place in distance if grid[place] >= grid.max() - _EQUAL]
            best = min(equals, key=distance.__getitem__)
            real = holding and grid[best] - grid[self.argmax] > error[best]
            places.append(best if real else self.argmax)
        return places

    @property
    def decision(self) -> Decision:
        """The decision chosen."""
        return Decision(tuple(self.thresholds[t] for t, _ in self.chosen), tuple(self.areas[a] for _, a in self.chosen))

    def summary(self, classes: Sequence[str]) -> dict:
        """What was chosen, and the dice it has on the images it was chosen by, beside argmax; plain values."""
        rows = {
            name: {
                "threshold": self.thresholds[place[0]],
                "min_area": self.areas[place[1]],
                "images": holding,
                "argmax": float(grid[self.argmax]),
                "tuned": float(grid[place]),
            }
            for name, grid, place, holding in zip(classes, self.dice, self.chosen, self.holding, strict=True)
        }
        means = {key: float(np.mean([row[key] for row in rows.values()])) for key in ("argmax", "tuned")}
        return {"part": "val", "images": self.images, **means, "classes": rows}

    def table(self, classes: Sequence[str]) -> pd.DataFrame:
        """All that was tried: class, threshold, min_area, dice."""
        index = pd.MultiIndex.from_product(
            [classes, self.thresholds, self.areas], names=["class", "threshold", "min_area"]
        )
        return pd.DataFrame({"dice": self.dice.ravel()}, index=index).reset_index()


def tune(engine: Engine, samples: Sequence[Sample], settings: TuningSettings) -> Tuning:
    """Try all thresholds and areas on all samples; each is run once, and only sums are kept.

    Args:
        engine: runs the model.
        samples: images of the validation part, at least one.
        settings: the thresholds and areas; argmax is always tried.
    """
    grid = tuple(sorted({*settings.thresholds, ARGMAX_THRESHOLD}))
    steps, num_classes = tuple(sorted({*settings.min_areas, 0})), len(engine.card.classes)

    def measure(sample: Sample) -> np.ndarray:
        return dice_grid(engine(sample.image()), sample.mask(), grid, steps, num_classes)

    total, gain, squares = (np.zeros((num_classes, len(grid), len(steps))) for _ in range(3))
    argmax = grid.index(ARGMAX_THRESHOLD), steps.index(0)
    results = ordered_map(measure, samples, engine.parallel + 1)
    for scored in tqdm(results, "Tuning", len(samples), unit="image", disable=None):
        total += scored
        difference = scored - scored[:, argmax[0], argmax[1], None, None]
        gain += difference
        squares += difference**2
    count = len(samples)
    spread = np.maximum(squares / count - (gain / count) ** 2, 0)
    error = np.sqrt(spread / max(count - 1, 1))
    holding = tuple(sum(c in sample.classes for sample in samples) for c in range(1, num_classes + 1))
    return Tuning(grid, steps, total / count, error, count, holding)


def dice_grid(
    maps: Maps, truth: np.ndarray, thresholds: Sequence[float], areas: Sequence[int], num_classes: int
) -> np.ndarray:
    """Dice of each class of one image, for each threshold and area.

    Args:
        maps: what the net says of the image, [H, W].
        truth: class indices, uint8 [H, W].
        thresholds: T of them.
        areas: A of them.
        num_classes: C.

    Returns:
        float64 [C, T, A]; 1 where neither truth nor prediction has the class.
    """
    true = np.bincount(truth.ravel(), minlength=num_classes + 1)
    rows, columns = np.nonzero(maps.confidence >= np.float32(min(thresholds)))
    hits, predicted = (np.zeros((num_classes, len(thresholds), len(areas)), np.int64) for _ in range(2))
    if len(rows):  # most of a strip is background by any threshold, and need not be looked at again
        window = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        maps, truth = Maps(maps.classes[window], maps.confidence[window]), truth[window]
        for t, threshold in enumerate(thresholds):
            mask = Decision((threshold,) * num_classes, (0,) * num_classes).mask(maps)
            classes, pixels, hit = _defects(mask, truth)
            for a, area in enumerate(areas):
                kept = pixels >= area
                for table, counts in ((hits, hit), (predicted, pixels)):
                    np.add.at(table[:, t, a], classes[kept] - 1, counts[kept])
    return dice(hits, predicted, true[1:, None, None])


def _defects(mask: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each connected defect of a mask: its class, its pixels, and how many of them are true."""
    runs = connected_runs(mask)
    # How many true pixels there are up to each one, down the columns: a run's are a difference of two.
    true = np.concatenate([[0], np.cumsum((mask == truth).T)])
    starts = runs.columns * len(mask) + runs.tops
    in_runs = true[starts + runs.lengths] - true[starts]
    hit = np.add.reduceat(in_runs, runs.first) if len(runs.first) else in_runs
    return runs.classes[runs.first], runs.areas, hit


def write_decision(
    tuning: Tuning, engine: Engine, checkpoints: Sequence[Path], data: StripDataModule, tta: bool
) -> Path:
    """Write the decision beside the first checkpoint, with what it was tuned on and for, whole or not at all."""
    path = decision_path(checkpoints[0], tta, len(checkpoints))
    hashes = {"data": data.name, "data_hash": data.catalog.data_hash, "split_hash": data.split_hash}
    write_json(
        path,
        {
            **tuning.decision.as_dict(),
            # What it was tuned for; with another net it is not used.
            "checkpoints": [{"file": file.name, "sha256": content_hash(file)} for file in checkpoints],
            "tta": tta,
            "size": engine.card.size,
            "precision": engine.card.precision,
            "class_names": engine.card.classes,
            "tuned_on": hashes | tuning.summary(engine.card.classes),
            "versions": versions() | engine.about["versions"],
        },
    )
    return path
