"""What the paper measured: Nie, Xu, Zhang, Analysis on DeepLabV3+ performance for automatic steel defects detection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RESIZED, ORIGINAL = (256, 256), (256, 1600)  # (height, width) of the two columns of its table 1
DEVICE, BATCH_SIZE = "Tesla P100", 16
# Table 1: images/s at batch 1, and training's it/s at batch 16, resized.
PAPER: Mapping[str, Mapping] = {
    "baseline": {RESIZED: 26, ORIGINAL: 11, "train": 24},
    "densenet201": {RESIZED: 10, ORIGINAL: 7, "train": 25},
    "resnet101": {RESIZED: 16, ORIGINAL: 8, "train": 14},
    "efficientnet-b1": {RESIZED: 20, ORIGINAL: 11, "train": 40},
}
# Table 2: mean IoU on its test data, Severstal at 256x256.
MIOU: Mapping[str, float] = {"baseline": 0.29, "densenet201": 0.325, "resnet101": 0.57, "efficientnet-b1": 0.57}

# Section 3.1: classes -> share of the 7,095 defect regions, and of the defect area (which it does not say for class 3).
CLASS_SHARES: Mapping[str, tuple[float, float | None]] = {
    "class_1": (0.126, 0.0239),
    "class_2": (0.0348, 0.0051),
    "class_3": (0.73, None),
    "class_4": (0.113, 0.17),
}


def class_shares_of(classes: Sequence[str]) -> Mapping[str, tuple[float, float | None]]:
    """The paper's shares of regions and of area, where the classes are Severstal's; otherwise none."""
    return CLASS_SHARES if list(classes) == list(CLASS_SHARES) else {}
