"""Tuning finds what trying every decision of the grid, one by one, would find."""

from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

from steel_defects.core.errors import UserError
from steel_defects.core.settings import read
from steel_defects.data.images import read_grey
from steel_defects.evaluate.settings import TuningSettings
from steel_defects.evaluate.tune import Tuning, dice_grid, tune, write_decision
from steel_defects.inference.decision import Decision, Maps, decision_path, read_decision
from steel_defects.inference.scoring import score_samples
from steel_defects.models.scores import scores

CLASSES = ("rust", "dents", "holes")
THRESHOLDS = [0.3, 0.45, 0.5, 0.6, 0.8]
AREAS = [0, 1, 15, 60, 250]


GRID = TuningSettings(thresholds=THRESHOLDS, min_areas=AREAS)


def dice_of(confusions: np.ndarray) -> np.ndarray:
    """Kaggle's dice of each class, mean over the images."""
    hit = np.diagonal(confusions, axis1=1, axis2=2)[:, 1:]
    total = (confusions.sum(1) + confusions.sum(2))[:, 1:]
    return np.where(total > 0, 2 * hit / np.maximum(total, 1), 1).mean(0)


def test_every_place_of_the_grid(blobs):
    """For each threshold and area, `Decision.mask` on every image and the scores of training."""
    engine, samples = blobs
    tuning = tune(engine, samples, GRID)
    places = [(t, a) for t in range(len(THRESHOLDS)) for a in range(len(AREAS))]
    decisions = {str(place): Decision((THRESHOLDS[place[0]],) * 3, (AREAS[place[1]],) * 3) for place in places}
    counted = score_samples(engine, samples, decisions)
    for t, a in places:
        confusions = counted[str((t, a))].native
        np.testing.assert_allclose(tuning.dice[:, t, a], dice_of(confusions), atol=1e-12)
        assert tuning.dice[:, t, a].mean() == pytest.approx(scores(confusions, CLASSES)["dice"], abs=1e-12)
    assert len(np.unique(tuning.dice)) > 30, "a grid on which all is equal would prove nothing"


@pytest.mark.slow
def test_the_choice_is_the_best_of_all_decisions(blobs):
    """All 8^3 decisions of a smaller grid, classes decided together."""
    engine, samples = blobs
    thresholds, areas = [0.4, 0.5, 0.6, 0.85], [0, 30]
    tuning = tune(engine, samples, TuningSettings(thresholds=thresholds, min_areas=areas))
    pairs = [(t, a) for t in thresholds for a in areas]
    decisions = {
        str((i, j, k)): Decision((x[0], y[0], z[0]), (x[1], y[1], z[1]))
        for i, x in enumerate(pairs)
        for j, y in enumerate(pairs)
        for k, z in enumerate(pairs)
    }
    counted = score_samples(engine, samples, decisions | {"chosen": tuning.decision, "argmax": Decision.argmax(3)})
    dice = {name: scores(found.native, CLASSES)["dice"] for name, found in counted.items()}
    assert dice["chosen"] == max(dice.values()) > dice["argmax"]
    summary = tuning.summary(CLASSES)
    assert summary["tuned"] == pytest.approx(dice["chosen"], abs=1e-12)
    assert summary["argmax"] == pytest.approx(dice["argmax"], abs=1e-12)


def test_argmax_is_always_tried(blobs):
    engine, samples = blobs
    tuning = tune(engine, samples, TuningSettings(thresholds=[0.9], min_areas=[500]))
    assert tuning.thresholds == (0.5, 0.9)
    assert tuning.areas == (0, 500)


def test_same_for_any_number_of_threads(blobs):
    engine, samples = blobs
    engine.parallel = 1
    one = tune(engine, samples, GRID)
    engine.parallel = 7
    np.testing.assert_array_equal(tune(engine, samples, GRID).dice, one.dice)


def test_ties_go_to_argmax():
    dice = np.full((2, 3, 3), 0.5)
    dice[1, 0, :] = 0.7
    tuning = Tuning((0.4, 0.5, 0.6), (0, 10, 20), dice, np.zeros_like(dice), 4, (2, 2))
    assert tuning.decision == Decision((0.5, 0.4), (0, 0))


def test_gains_within_their_standard_error_are_left_alone(blobs):
    dice = np.full((1, 3, 1), 0.5)
    dice[0, 0] = 0.7
    for error, threshold in ((0.19, 0.4), (0.21, 0.5)):
        tuning = Tuning((0.4, 0.5, 0.6), (0,), dice, np.full_like(dice, error), 4, (2,))
        assert tuning.decision.thresholds == (threshold,)

    engine, samples = blobs
    tuning = tune(engine, samples, GRID)
    grids = np.stack([dice_grid(engine(read_grey(s.path)), s.mask(), THRESHOLDS, AREAS, 3) for s in samples])
    t, a = tuning.argmax
    gains = grids - grids[:, :, t, a, None, None]
    np.testing.assert_allclose(tuning.error, gains.std(axis=0, ddof=1) / np.sqrt(len(samples)), atol=1e-9)


def test_absent_class_is_left_alone(blobs_without_holes):
    engine, samples = blobs_without_holes
    tuning = tune(engine, samples, GRID)
    assert tuning.holding[2] == 0
    assert tuning.dice[2].max() > tuning.dice[2][tuning.argmax], "to call no hole at all would score better here"
    assert tuning.decision.thresholds[2] == 0.5
    assert tuning.decision.min_area[2] == 0


def test_image_without_anything():
    maps = Maps(np.ones((20, 30), np.uint8), np.zeros((20, 30), np.float32))
    clean = np.zeros((20, 30), np.uint8)
    assert (dice_grid(maps, clean, [0.2, 0.5], [0, 9], 2) == 1).all()
    truth = clean.copy()
    truth[3, 4] = 2
    dice = dice_grid(maps, truth, [0.2, 0.5], [0, 9], 2)
    assert (dice[0] == 1).all()
    assert (dice[1] == 0).all()


def test_corners_that_touch_are_one_defect():
    confidence = np.zeros((10, 10), np.float32)
    confidence[2:4, 2:4] = confidence[4:6, 4:6] = 0.9
    truth = (confidence > 0).astype(np.uint8)
    maps = Maps(np.ones((10, 10), np.uint8), confidence)
    assert dice_grid(maps, truth, [0.5], [8, 9], 1).tolist() == [[[1.0, 0.0]]]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        *(("thresholds", wrong) for wrong in ([], [0.5, 1.5], [-0.1], [True], 0.5)),
        *(("min_areas", wrong) for wrong in ([], [-1], ["x"], [0.5], [2**31])),
    ],
)
def test_mistakes(key, values):
    with pytest.raises(UserError, match=f"^{key}=.*: a list of "):
        read(TuningSettings, {"thresholds": [0.5], "min_areas": [2**31 - 1]} | {key: values})


def test_written_decision(blobs, tmp_path):
    engine, samples = blobs
    tuning = tune(engine, samples, GRID)
    data = SimpleNamespace(name="blobs", catalog=SimpleNamespace(data_hash="d"), split_hash="s")
    checkpoints = [tmp_path / "a" / "best.ckpt", tmp_path / "b" / "best.ckpt"]
    for checkpoint in checkpoints:
        checkpoint.parent.mkdir()
        checkpoint.write_bytes(checkpoint.parent.name.encode())
    path = write_decision(tuning, engine, checkpoints, data, tta=True)
    assert (
        path == decision_path(checkpoints[0], tta=True, averaged=2) == tmp_path / "a" / "best.mean2.tta.decision.json"
    )
    assert read_decision(path, CLASSES) == tuning.decision
    values = json.loads(path.read_text())
    hashes = [hashlib.sha256(name).hexdigest() for name in (b"a", b"b")]
    assert values["checkpoints"] == [{"file": "best.ckpt", "sha256": digest} for digest in hashes]
    assert values["tta"] is True
    assert values["tuned_on"]["images"] == 12
    assert values["tuned_on"]["split_hash"] == "s"
    assert values["tuned_on"]["tuned"] > values["tuned_on"]["argmax"]
    assert {file.name for file in path.parent.iterdir()} == {"best.ckpt", path.name}, "no draft is left"
