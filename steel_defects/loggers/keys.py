"""What runs log to W&B and under which keys; the dashboard names no other.

Keys of scores are those of `scores.scores`, so that a score added there can be shown without being named here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steel_defects.models import scores as definition

EPOCH = "epoch"  # x axis of all curves
CURVES = ("train/loss", "train/lr", "train/it_per_s", "train/seconds", "val/loss")
NUMBERS = (
    "best/epoch",
    "best/val_miou",
    "speed/train_it_per_s",
    "speed/resized_images_per_s",
    "speed/resized_ms_per_image",
    "speed/original_images_per_s",
    "speed/original_ms_per_image",
    "net/parameters",
    "net/gmacs",
    "memory/peak_bytes",
)

OVERLAYS = "val/overlays"  # validation images with masks
IMAGES = "test/images"  # table: a row a test image
CLASSES = "test/classes"  # table: system, seed, class, score, value
CONFUSION = "test/confusion"  # chart: pixels of each true class by predicted class
IOU = "test/iou_distribution"  # chart: histogram over the test images

# Keys of the configuration.
SYSTEM = "system"
SEED = "seed"
ENCODER = "encoder.name"
RECIPE = "recipe.name"
LEARNING_RATE = "recipe.lr"
DATA = "data.name"

# W&B measures these by itself. GPU 0 is the one a job sees.
MACHINE = ("system/gpu.0.gpu", "system/gpu.0.memoryAllocated", "system/cpu", "system/proc.memory.rssMB")


def score_keys(classes: Sequence[str]) -> list[str]:
    """Keys of all scores of a set of images, as `scores.scores` has them."""
    side = len(classes) + 1
    return list(definition.scores(np.zeros((1, side, side), int), classes))


def history_keys(classes: Sequence[str]) -> list[str]:
    """Keys with a value an epoch."""
    return [*CURVES, *(f"val/{key}" for key in score_keys(classes))]


def summary_keys(classes: Sequence[str]) -> list[str]:
    """Keys with a value a run: scores of the test images at the net's size, at the images' own, and costs."""
    keys = score_keys(classes)
    return [*(f"test/{key}" for key in keys), *(f"test/native_{key}" for key in keys), *NUMBERS]


def chart_table(chart: str) -> str:
    """Under which key W&B's library keeps the table of a chart it logs."""
    return f"{chart}_table"


def definitions() -> str:
    """The table of all scores and their meaning, in Markdown: the one that models/scores.py opens with."""
    lines = (definition.__doc__ or "").splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))
