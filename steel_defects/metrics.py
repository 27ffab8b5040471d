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
import torch
from torchmetrics import Metric
from torchmetrics.classification import MulticlassJaccardIndex


def image_confusions(prediction: torch.Tensor, target: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Confusion matrix of each image of a batch.

    Args:
        prediction: class indices [B, H, W], any integer dtype, 0 the background.
        target: likewise.
        num_classes: defect classes, background not counted.

    Returns:
        int64 [B, C + 1, C + 1]: pixels by truth (rows) and prediction (columns).
    """
    k = num_classes + 1
    batch = torch.arange(len(target), device=target.device).view(-1, 1, 1)
    cells = (batch * k + target.long()) * k + prediction.long()
    return torch.bincount(cells.flatten(), minlength=len(target) * k * k).view(-1, k, k)


class ImageConfusions(Metric):
    """Collects a confusion matrix per image, over batches and processes.

    `compute` returns images (int64 [N], sorted, each once) and their confusions (int64 [N, C + 1, C + 1]). Loaders of
    several processes repeat images to come out even; a repeated image is counted once.

    Args:
        num_classes: defect classes, background not counted.
    """

    full_state_update = False

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("images", default=[], dist_reduce_fx="cat")
        self.add_state("confusions", default=[], dist_reduce_fx="cat")

    def update(self, image: torch.Tensor, prediction: torch.Tensor, target: torch.Tensor) -> None:
        """Add a batch: image numbers int64 [B], class indices [B, H, W] predicted and true."""
        self.images.append(image)
        self.confusions.append(image_confusions(prediction, target, self.num_classes))

    def compute(self) -> tuple[np.ndarray, np.ndarray]:
        images = _joined(self.images).cpu().numpy()
        confusions = _joined(self.confusions).cpu().numpy()
        images, first = np.unique(images, return_index=True)
        return images, confusions[first]


def _joined(parts: list[torch.Tensor] | torch.Tensor) -> torch.Tensor:
    # Between processes torchmetrics hands the parts over already joined.
    return torch.cat(parts) if isinstance(parts, list) else parts


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
    union = predicted + true - overlap
    with np.errstate(invalid="ignore"):
        iou = np.where(union > 0, overlap / union, np.nan)
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
    alarm = predicted.any(axis=1)
    iou_all = np.where(has_defect, rows["iou"].fillna(0.0), (~alarm).astype(float))
    jaccard = _jaccard(confusions, len(classes))

    result = {
        "miou": _mean(rows["iou"].to_numpy()[has_defect]),
        "miou_all": _mean(iou_all),
        "jaccard": _mean(jaccard),
    }
    result |= {f"jaccard_{name}": jaccard[c] for c, name in enumerate(classes)}
    result["dice"] = _mean(rows[[f"dice_{name}" for name in classes]].to_numpy())
    for c, name in enumerate(classes):
        result[f"detection_{name}"] = _mean((overlap[:, c] > 0)[true[:, c] > 0])
    result["false_alarm"] = _mean(alarm[~has_defect])
    return {key: float(value) for key, value in result.items()}


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


def _jaccard(confusions: np.ndarray, num_classes: int) -> np.ndarray:
    """torchmetrics' Jaccard index of each defect class, NaN where neither truth nor prediction has it.

    torchmetrics would count an absent class as 0, and `ignore_index=0` would leave out what is wrongly predicted on
    the background; so the background stays in and absent classes are marked here.
    """
    total = torch.as_tensor(np.asarray(confusions).sum(axis=0))
    # The total is complete: to gather it again would hang where one process asks, and fail where NCCL cannot take it.
    metric = MulticlassJaccardIndex(num_classes + 1, average="none", sync_on_compute=False)
    metric.update(torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long))  # so that it may compute
    metric.confmat = total
    index = metric.compute().double().numpy()[1:]
    union = (total.sum(dim=0) + total.sum(dim=1) - total.diagonal()).numpy()[1:]
    return np.where(union > 0, index, np.nan)


def _mean(values: np.ndarray, axis: int | None = None) -> np.ndarray | float:
    """Mean of what is defined; NaN where nothing is (numpy would warn)."""
    values = np.asarray(values, float)
    defined = ~np.isnan(values)
    count = defined.sum(axis=axis)
    total = np.where(defined, values, 0.0).sum(axis=axis)
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.nan) if axis is not None else (total / count if count else np.nan)
