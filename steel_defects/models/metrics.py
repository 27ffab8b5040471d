"""What is counted of images as they pass, over batches and processes; `scores.py` makes scores of it."""

from __future__ import annotations

import numpy as np
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
    images: list[torch.Tensor]
    confusions: list[torch.Tensor]

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
        """Numbers of the images, int64 [N], rising, and their confusion matrices, int64 [N, C + 1, C + 1]."""
        images = _joined(self.images).cpu().numpy()
        confusions = _joined(self.confusions).cpu().numpy()
        images, first = np.unique(images, return_index=True)
        return images, confusions[first]


def _joined(parts: list[torch.Tensor] | torch.Tensor) -> torch.Tensor:
    # Between processes torchmetrics hands the parts over already joined.
    return torch.cat(parts) if isinstance(parts, list) else parts


class TotalJaccard(MulticlassJaccardIndex):
    """torchmetrics' Jaccard index of each defect class over all pixels of a set, from its confusion matrices.

    torchmetrics counts a class that is absent as 0, and its `ignore_index=0` leaves out what is wrongly predicted on
    the background; so the background stays in, and `compute` gives float [C], NaN for an absent class.

    Args:
        num_classes: defect classes, background not counted.
    """

    def __init__(self, num_classes: int) -> None:
        # What is added is complete already: to gather it again would count it once for each process.
        super().__init__(num_classes + 1, average="none", sync_on_compute=False)

    def update(self, confusions: torch.Tensor) -> None:  # type: ignore[override]  # counts in place of pictures
        """Add confusion matrices, int64 [N, C + 1, C + 1]: pixels by truth (rows) and prediction (columns)."""
        self.confmat += confusions.sum(dim=0)

    def compute(self) -> torch.Tensor:
        """Jaccard index of each defect class, float [C]; NaN where it is neither true nor predicted."""
        union = self.confmat.sum(dim=0) + self.confmat.sum(dim=1) - self.confmat.diagonal()
        return torch.where(union > 0, super().compute(), torch.nan)[1:]
