"""A model that needs no net: it knows for each image what it will say."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from steel_defects.data.catalog import Sample
from steel_defects.data.rle import encode
from steel_defects.inference.card import ModelCard
from steel_defects.inference.decision import Decision, Maps
from steel_defects.inference.engine import Engine

SIZE = (32, 48)


class KnownEngine(Engine):
    """Says of each image what it was told to."""

    parallel = 2

    def __init__(self, answers: dict[bytes, Maps], classes: tuple[str, ...]) -> None:
        self.card = ModelCard(classes, SIZE, Decision.argmax(len(classes)))
        self.about = {"engine": "known", "device": "none", "versions": {}}
        self.answers = answers

    def __call__(self, image: np.ndarray) -> Maps:
        return self.answers[image.tobytes()]

    def resized(self, image: np.ndarray) -> Maps:
        return Maps(*(cv2.resize(part, SIZE[::-1], interpolation=cv2.INTER_NEAREST_EXACT) for part in self(image)))


def smooth(rng: np.random.Generator, shape: tuple[int, int], blur: float) -> np.ndarray:
    """Blobs: float32 [H, W], spread over 0..1."""
    field = cv2.GaussianBlur(rng.random(shape, np.float32), (0, 0), blur)
    return (field - field.min()) / (field.max() - field.min())


def make_blobs(folder: Path, count: int, present: tuple[int, ...] = (1, 2, 3)) -> tuple[KnownEngine, list[Sample]]:
    """Samples of sizes that differ, with blobs as truth, and an engine that comes near them."""
    rng = np.random.default_rng(5)
    answers, samples = {}, []
    for i in range(count):
        shape = (40 + 4 * (i % 3), 64)
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        hidden = smooth(rng, shape, 3.0)
        kinds = rng.integers(1, 4, 3)[np.digitize(smooth(rng, shape, 9.0), [0.4, 0.6])].astype(np.uint8)
        truth = np.where((hidden > 0.7) & np.isin(kinds, present), kinds, 0).astype(np.uint8) * (i % 4 > 0)
        confidence = np.clip(hidden * 0.7 + 0.5 * smooth(rng, shape, 1.0) - 0.2, 0, 1).astype(np.float32)
        confidence = np.round(confidence, 2)  # so that some lie on a threshold
        seen = np.where(rng.random(shape) < 0.02, rng.integers(1, 4, shape), kinds).astype(np.uint8)
        path = folder / f"{i}.png"
        cv2.imwrite(str(path), image)
        answers[image.tobytes()] = Maps(seen, confidence)
        rles = {c: encode(truth == c) for c in (1, 2, 3)}
        samples.append(Sample(path.name, path, *shape, rles))
    return KnownEngine(answers, ("rust", "dents", "holes")), samples


@pytest.fixture
def blobs(tmp_path) -> tuple[KnownEngine, list[Sample]]:
    return make_blobs(tmp_path, 12)


@pytest.fixture
def blobs_without_holes(tmp_path) -> tuple[KnownEngine, list[Sample]]:
    return make_blobs(tmp_path, 8, present=(1, 2))
