"""Scores of a segmentation, one definition each.

Everything is computed from one row per image: its confusion matrix, pixels of truth class t predicted as class p.
Rows are keyed by image, so scores do not depend on batch size, loader workers or number of processes.

For image i and defect class c, with prediction P and truth T: IoU(i, c) = |P and T| / |P or T|, undefined where both
are empty; IoU(i) is the mean over the classes where it is defined. The background (class 0) never counts.

| key | meaning |
| --- | --- |
| `miou` | mean of IoU(i) over the images whose truth has a defect |
| `miou_all` | mean over all images (paper, section 4); a clean image counts 1 if predicted clean, else 0 |
| `jaccard`, `jaccard_<class>` | torchmetrics' Jaccard index over all pixels of the set; the mean over defect classes |
| `dice` | Kaggle's: mean over (image, class) of Dice; both empty is 1 |
| `detection_<class>` | share of the images with class c in which a predicted pixel of c hits a true one |
| `false_alarm` | share of clean images with any predicted defect pixel |

A score over nothing (no image with that class, no clean image) is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from steel_defects.core.errors import UserError
from steel_defects.core.own import call_own, load_own

Score = Callable[[np.ndarray, Sequence[str]], float]


def own_scores(names: Sequence[str], classes: Sequence[str]) -> dict[str, Score]:
    """Scores of the user's, by the name that each has in tables and curves: that of its function.

    Args:
        names: `module.function` of each. It is called as `scores` is, and returns a number; NaN of nothing.
        classes: names of the C defect classes.

    Raises:
        UserError: where one cannot be further, or has the name of another score.
    """
    taken = set(scores(np.zeros((0, len(classes) + 1, len(classes) + 1), int), classes))
    further: dict[str, Score] = {}
    for name in names:
        key = name.rpartition(".")[2]
        further[key] = load_own("scores", name, ("confusions", "classes"), "my_scores.area_error")
        if key in taken:
            raise UserError(f"scores={name}: another score has the name {key}; choose another")
        taken.add(key)
    return further


def per_image(confusions: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """One row an image.

    Args:
        confusions: int [N, C + 1, C + 1], as `ImageConfusions.compute` returns them.
        classes: names of the C defect classes.

    Returns:
        Columns `iou` (of the image: NaN where truth and prediction are clean) and, for each class, `iou_<class>`
        (NaN where undefined), `dice_<class>`, `true_<class>`, `predicted_<class>` and `hit_<class>` (pixels).
    """
    overlap, predicted, true = _pixels(confusions)
    iou, dices = jaccard(overlap, predicted, true), dice(overlap, predicted, true)
    table = {"iou": _mean(iou, axis=1)}
    for c, name in enumerate(classes):
        table[f"iou_{name}"] = iou[:, c]
        table[f"dice_{name}"] = dices[:, c]
        table[f"true_{name}"] = true[:, c]
        table[f"predicted_{name}"] = predicted[:, c]
        table[f"hit_{name}"] = overlap[:, c]
    return pd.DataFrame(table)


def scores(confusions: np.ndarray, classes: Sequence[str], own: Mapping[str, Score] | None = None) -> dict[str, float]:
    """All scores of a set of images.

    Args:
        confusions: int [N, C + 1, C + 1].
        classes: names of the C defect classes.
        own: further ones, by name.

    Returns:
        The keys of the table at the head of this module, in its order, then those of `own`.

    Raises:
        UserError: where one of `own` fails, or returns no number.
    """
    rows = per_image(confusions, classes)
    overlap, predicted, true = _pixels(confusions)
    has_defect = true.any(axis=1)
    alarm = np.asarray(predicted.any(axis=1))
    iou_all = np.where(has_defect, rows["iou"], (~alarm).astype(float))
    jaccards = jaccard(overlap.sum(axis=0), predicted.sum(axis=0), true.sum(axis=0))

    result = {
        "miou": _mean(rows["iou"].to_numpy()[has_defect]),
        "miou_all": _mean(iou_all),
        "jaccard": _mean(jaccards),
    }
    result |= {f"jaccard_{name}": jaccards[c] for c, name in enumerate(classes)}
    result["dice"] = _mean(rows[[f"dice_{name}" for name in classes]].to_numpy())
    for c, name in enumerate(classes):
        result[f"detection_{name}"] = _hit_rate(overlap[:, c], true[:, c])
    result["false_alarm"] = _mean(alarm[~has_defect])
    values = {key: float(value) for key, value in result.items()}
    for name, function in (own or {}).items():
        what = f"The score {name}"
        values[name] = call_own(what, float, call_own(what, function, confusions, classes))
    return values


def class_scores(rows: pd.DataFrame, name: str) -> dict[str, float]:
    """How well the defects of one class are found.

    Args:
        rows: a row an image, with the columns of `per_image`.
        name: name of the class.

    Returns:
        `jaccard` and `detection` as in `scores`; `iou`, the mean of the images' IoU of the class; `precision`, the
        share of the images with a predicted pixel of it in which one hits a true one; `pixel_precision`, the share of
        the predicted pixels that are true; `pixel_recall`, the share of the true pixels that are predicted.
    """
    true, predicted, hit = (rows[f"{key}_{name}"].to_numpy() for key in ("true", "predicted", "hit"))
    pixels = hit.sum(), predicted.sum(), true.sum()
    return {
        "jaccard": float(jaccard(*pixels)),
        "iou": float(_mean(rows[f"iou_{name}"].to_numpy())),
        "detection": float(_hit_rate(hit, true)),
        "precision": float(_hit_rate(hit, predicted)),
        "pixel_precision": float(pixels[0] / pixels[1]) if pixels[1] else np.nan,
        "pixel_recall": float(pixels[0] / pixels[2]) if pixels[2] else np.nan,
    }


@dataclass(frozen=True)
class Confusions:
    """What is counted of N images, in any order.

    Args:
        resized: int64 [N, C + 1, C + 1] at the net's size: pixels by truth (rows) and prediction (columns).
        native: the same at the images' own size.
    """

    resized: np.ndarray
    native: np.ndarray

    def scores(self, classes: Sequence[str], own: Mapping[str, Score] | None = None) -> dict[str, float]:
        """All scores, then the same with `native_` before their names; arguments as for `scores`."""
        native = {f"native_{key}": value for key, value in scores(self.native, classes, own).items()}
        return scores(self.resized, classes, own) | native

    def per_image(self, classes: Sequence[str]) -> pd.DataFrame:
        """A row an image: the columns of `per_image`, then the same with `native_` before their names."""
        rows = per_image(self.resized, classes)
        return pd.concat([rows, per_image(self.native, classes).add_prefix("native_")], axis=1)


def _pixels(confusions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overlap, predicted and true pixels, int64 [N, C] each, of the defect classes."""
    confusions = np.asarray(confusions)
    overlap = np.diagonal(confusions, axis1=1, axis2=2)
    return overlap[:, 1:], confusions.sum(axis=1)[:, 1:], confusions.sum(axis=2)[:, 1:]


def _hit_rate(overlap: np.ndarray, pixels: np.ndarray) -> np.ndarray | float:
    """Share of the images with some of these pixels in which predicted and true pixels overlap; [N] both."""
    return _mean((overlap > 0)[pixels > 0])


def dice(overlap: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """2 |P and T| / (|P| + |T|) of numbers of pixels, int of shapes that go together; float, 1 where both are empty."""
    total = predicted + true
    return np.where(total > 0, 2 * overlap / np.maximum(total, 1), 1.0)


def jaccard(overlap: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """|P and T| / |P or T| of numbers of pixels, int of one shape; float, NaN where both are empty."""
    union = predicted + true - overlap
    with np.errstate(invalid="ignore"):
        return np.where(union > 0, overlap / union, np.nan)


def _mean(values: np.ndarray, axis: int | None = None) -> np.ndarray | float:
    """Mean of what is defined; NaN where nothing is (numpy would warn)."""
    values = np.asarray(values, float)
    defined = ~np.isnan(values)
    count = defined.sum(axis=axis)
    total = np.where(defined, values, 0.0).sum(axis=axis)
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.nan) if axis is not None else (total / count if count else np.nan)
