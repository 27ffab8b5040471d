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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


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
    iou = _jaccard(overlap, predicted, true)
    with np.errstate(invalid="ignore"):
        dice = np.where(predicted + true > 0, 2 * overlap / (predicted + true), 1.0)
    table = {"iou": _mean(iou, axis=1)}
    for c, name in enumerate(classes):
        table[f"iou_{name}"] = iou[:, c]
        table[f"dice_{name}"] = dice[:, c]
        table[f"true_{name}"] = true[:, c]
        table[f"predicted_{name}"] = predicted[:, c]
        table[f"hit_{name}"] = overlap[:, c]
    return pd.DataFrame(table)


def scores(confusions: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """All scores of a set of images.

    Args:
        confusions: int [N, C + 1, C + 1].
        classes: names of the C defect classes.

    Returns:
        The keys of the table at the head of this module, in its order.
    """
    rows = per_image(confusions, classes)
    overlap, predicted, true = _pixels(confusions)
    has_defect = true.any(axis=1)
    alarm = np.asarray(predicted.any(axis=1))
    iou_all = np.where(has_defect, rows["iou"].fillna(0.0), (~alarm).astype(float))
    jaccard = _jaccard(overlap.sum(axis=0), predicted.sum(axis=0), true.sum(axis=0))

    result = {
        "miou": _mean(rows["iou"].to_numpy()[has_defect]),
        "miou_all": _mean(iou_all),
        "jaccard": _mean(jaccard),
    }
    result |= {f"jaccard_{name}": jaccard[c] for c, name in enumerate(classes)}
    result["dice"] = _mean(rows[[f"dice_{name}" for name in classes]].to_numpy())
    for c, name in enumerate(classes):
        result[f"detection_{name}"] = _hit_rate(overlap[:, c], true[:, c])
    result["false_alarm"] = _mean(alarm[~has_defect])
    return {key: float(value) for key, value in result.items()}


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
        "jaccard": float(_jaccard(*pixels)),
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
        native: likewise at the images' own size.
    """

    resized: np.ndarray
    native: np.ndarray

    def scores(self, classes: Sequence[str]) -> dict[str, float]:
        """All scores, then the same with `native_` before their names."""
        native = {f"native_{key}": value for key, value in scores(self.native, classes).items()}
        return scores(self.resized, classes) | native

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


def _jaccard(overlap: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """|P and T| / |P or T| of numbers of pixels; NaN where both are empty."""
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
