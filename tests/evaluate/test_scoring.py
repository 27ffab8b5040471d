"""Scores of a model on samples, against counts made in a few lines of NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from steel_defects.data.images import read_grey, resize
from steel_defects.inference.decision import Decision
from steel_defects.inference.scoring import confusion, score_samples
from steel_defects.models.metrics import image_confusions
from steel_defects.models.scores import per_image, scores

CLASSES = ("rust", "dents", "holes")


def counted(prediction: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        matrix[t, p] += 1
    return matrix


def test_confusion_is_the_one_of_training():
    import torch

    rng = np.random.default_rng(0)
    prediction, truth = rng.integers(0, 4, (2, 30, 70), dtype=np.uint8)
    np.testing.assert_array_equal(confusion(prediction, truth, 3), counted(prediction, truth, 3))
    batch = image_confusions(torch.from_numpy(prediction)[None], torch.from_numpy(truth)[None], 3)
    np.testing.assert_array_equal(confusion(prediction, truth, 3), batch[0].numpy())


@pytest.mark.parametrize("parallel", [1, 4])
def test_score_samples(blobs, parallel):
    engine, samples = blobs
    engine.parallel = parallel
    decisions = {"argmax": Decision.argmax(3), "tuned": Decision((0.3, 0.6, 0.5), (0, 40, 12))}
    result = score_samples(engine, samples, decisions)
    assert list(result) == ["argmax", "tuned"]
    for name, decision in decisions.items():
        for i, sample in enumerate(samples):
            image, truth = read_grey(sample.path), sample.mask()
            _, small = resize(image, truth, engine.card.size)
            ratio = small.size / truth.size
            np.testing.assert_array_equal(
                result[name].resized[i], counted(decision.mask(engine.resized(image), ratio), small, 3)
            )
            np.testing.assert_array_equal(result[name].native[i], counted(decision.mask(engine(image)), truth, 3))
    values = result["tuned"].scores(CLASSES)
    assert values["miou"] == scores(result["tuned"].resized, CLASSES)["miou"]
    assert values["native_dice"] == scores(result["tuned"].native, CLASSES)["dice"]
    assert values["native_dice"] != values["dice"]
    rows = result["argmax"].per_image(CLASSES)
    assert len(rows) == len(samples)
    assert rows["native_hit_rust"].tolist() == per_image(result["argmax"].native, CLASSES)["hit_rust"].tolist()
