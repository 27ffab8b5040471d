"""Runs and systems of nets that never were: made up from random confusion matrices, alike in form to those read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from steel_defects.core.runs import RunFolder
from steel_defects.models.scores import Confusions
from steel_defects.report.records import Run, System

CLASSES = ("a", "b", "c")


def draw_truth(images: int, classes: int, clean: float, seed: int) -> np.ndarray:
    """True pixels of each image by class, the background first, int [N, C + 1]; the first n images never change."""
    rows = []
    for i in range(images):
        rng = np.random.default_rng([seed, i])
        sizes = rng.lognormal(5, 2, classes).astype(int) + 1
        there = rng.random(classes) < 0.4
        there[rng.integers(classes)] = True
        defects = np.where(there & (rng.random() >= clean), sizes, 0)
        rows.append([100_000, *defects])
    return np.array(rows)


def draw_prediction(truth: np.ndarray, skill: float, rng: np.random.Generator) -> np.ndarray:
    """Confusion matrices, int [N, C + 1, C + 1]: of a class that is found, a share `skill` of pixels is right."""
    images, k = truth.shape
    confusions = np.zeros((images, k, k), int)
    for c in range(k):
        right = 0.999 if c == 0 else skill
        chances = np.full(k, (1 - right) / k)
        chances[c] += right
        confusions[:, c] = rng.multinomial(truth[:, c], chances)
    missed = rng.random((images, k)) < 0.3
    for c in range(1, k):  # a class is overlooked, or nowhere wrongly seen on the background
        confusions[missed[:, c], c, 0] = truth[missed[:, c], c]
        confusions[missed[:, c], c, 1:] = 0
    calm = rng.random(images) < 0.7
    confusions[calm, 0, 0], confusions[calm, 0, 1:] = truth[calm, 0], 0
    return confusions


def spoiled(confusions: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Predict nothing but background in a share of the images."""
    confusions = confusions.copy()
    chosen = rng.permutation(len(confusions))[: round(share * len(confusions))]
    truth = confusions[chosen].sum(axis=2)
    confusions[chosen] = 0
    confusions[chosen, :, 0] = truth
    return confusions


@pytest.fixture(scope="session")
def make_confusions() -> Callable[..., Confusions]:
    """Confusion matrices of made-up predictions, at the net's size (a sixteenth of the pixels) and at the own size."""

    def make(
        images: int = 40,
        classes: Sequence[str] = CLASSES,
        rng: int = 0,
        skill: float = 0.8,
        clean: float = 0.2,
        truth: int = 0,
        spoil: float = 0.0,
        first: int = 0,
    ) -> Confusions:
        true = draw_truth(first + images, len(classes), clean, truth)[first:]
        drawn = [draw_prediction(size, skill, np.random.default_rng(rng)) for size in (true // 16, true)]
        # The same images are spoiled at both sizes.
        return Confusions(*(spoiled(one, spoil, np.random.default_rng(rng)) for one in drawn))

    return make


@pytest.fixture(scope="session")
def make_run(make_confusions) -> Callable[..., Run]:
    """A finished run.

    Args:
        name: of its system.
        seed: of the run.
        images: of the test set.
        classes: names of the defect classes.
        rng: seed of its predictions; runs with the same one predict the same. `seed` where it is None.
        skill: share of the pixels it gets right, 0..1.
        clean: share of clean test images, 0..1.
        truth: seed of the true defects: runs with the same one have the same truth in the same images.
        spoil: share of the images in which nothing is predicted.
        first: number of the first test image.
        size: (height, width) of the net.
        rows: whether it has `per_image`.
        summary: further entries of `summary`.
    """

    def make(
        name: str = "net",
        seed: int = 0,
        images: int = 40,
        classes: Sequence[str] = CLASSES,
        rng: int | None = None,
        skill: float = 0.8,
        clean: float = 0.2,
        truth: int = 0,
        spoil: float = 0.0,
        first: int = 0,
        size: tuple[int, int] = (64, 64),
        rows: bool = True,
        summary: dict | None = None,
    ) -> Run:
        drawn = make_confusions(images, classes, seed if rng is None else rng, skill, clean, truth, spoil, first)
        table = drawn.per_image(classes)
        table.index = pd.Index([f"{i:05}.png" for i in range(first, first + images)], name="ImageId")
        test = {key: None if np.isnan(value) else value for key, value in drawn.scores(classes).items()}
        entries = {
            "status": "finished",
            "system": name,
            "seed": seed,
            "data": {
                "name": "made_up",
                "images": {"train": 80, "val": 10, "test": images},
                "classes": list(classes),
                "size": list(size),
                "data_hash": "0123456789abcdef",
                "split_hash": "0123456789ab",
            },
            "test": test,
            "confusion": drawn.resized.sum(axis=0).tolist(),
            "native_confusion": drawn.native.sum(axis=0).tolist(),
            "parameters": 1_000_000,
            "gmacs": 1.0,
            "speed": {"train_it_per_s": 1.0, "batch_size": 16, "train_seconds": 10.0},
            "device": "made up",
        }
        settings = {"system": name, "seed": seed, "data.size": list(size), "recipe.epochs": 2}
        return Run(
            RunFolder(Path("runs") / f"{name}-{seed}"),
            entries | (summary or {}),
            settings,
            [f"seed={seed}"],
            pd.DataFrame(),
            table if rows else None,
            None,
        )

    return make


@pytest.fixture(scope="session")
def make_system(make_run) -> Callable[..., System]:
    """A system of runs that differ in their seed; what else `make_run` takes goes to each of them."""

    def make(name: str = "net", seeds: Sequence[int] = (0,), **same) -> System:
        return System(name, None, [make_run(name, seed, **same) for seed in seeds])

    return make
