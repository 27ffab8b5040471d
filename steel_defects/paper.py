"""What the paper measured: Nie, Xu, Zhang, Analysis on DeepLabV3+ performance for automatic steel defects detection."""

from __future__ import annotations

from collections.abc import Mapping

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
