"""Maps and decisions, against softmax and argmax written out, and scikit-image's connected components."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.special import softmax
from skimage.measure import label

from steel_defects.core.errors import UserError
from steel_defects.inference.decision import Decision, Maps, decision_path, maps_of, read_decision
from steel_defects.inference.graph import confidences


def draw_logits(seed: int, classes: int = 3, shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3, (classes + 1, *shape)).astype(np.float32)


def draw_maps(seed: int, shape: tuple[int, int] = (60, 90)) -> Maps:
    """Confidences in steps of 1/8, so that many lie on a threshold, in classes of some extent."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(1, 4, (shape[0] // 6, shape[1] // 6), np.uint8).repeat(6, 0).repeat(6, 1)
    return Maps(classes, (rng.integers(0, 9, shape) / 8).astype(np.float32))


def decide(maps: Maps, decision: Decision, scale: float = 1.0) -> np.ndarray:
    """Class by class, with scikit-image."""
    mask = np.zeros_like(maps.classes)
    for c, (threshold, area) in enumerate(zip(decision.thresholds, decision.min_area, strict=True), start=1):
        above = maps.confidence > threshold if threshold == 0.5 else maps.confidence >= threshold
        parts = label(above & (maps.classes == c), connectivity=2)
        large = np.flatnonzero(np.bincount(parts.ravel()) >= area * scale)
        mask[np.isin(parts, large[large > 0])] = c
    return mask


# Maps.


@pytest.mark.parametrize("seed", range(3))
def test_maps_are_those_of_softmax(seed):
    logits = draw_logits(seed)
    probabilities = softmax(logits.astype(np.float64), axis=0)
    best = 1 + logits[1:].argmax(axis=0)
    chosen = np.take_along_axis(probabilities, best[None], axis=0)[0]
    expected = chosen / (chosen + probabilities[0])
    classes, confidence = confidences(torch.from_numpy(logits)[None])
    for maps in (maps_of(probabilities.astype(np.float32)), Maps(classes[0].numpy(), confidence[0].numpy())):
        assert (maps.classes.dtype, maps.confidence.dtype) == (np.uint8, np.float32)
        np.testing.assert_array_equal(maps.classes, best)
        np.testing.assert_allclose(maps.confidence, expected, rtol=0, atol=1e-6)


def test_maps_of_probabilities_that_are_zero():
    """Softmax in float32 knows only 0 for what is unlikely enough; neither class nor background there is no defect."""
    maps = maps_of(np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], np.float32)[..., None])
    assert maps.confidence.ravel().tolist() == [0, 1, 0]
    assert Decision.argmax(2).mask(maps).ravel().tolist() == [0, 1, 0]


def test_extreme_logits_stay_numbers():
    logits = torch.tensor([[0.0, 1e4, -1e4], [1e4, -1e4, -1e4]]).reshape(1, 2, 1, 3)
    assert confidences(logits)[1].flatten().tolist() == [1, 0, 0.5]


# Decisions.


@pytest.mark.parametrize("classes", [1, 4])
def test_argmax_is_argmax(classes):
    """Logits in steps of 1/2: a third of the pixels have a tie at the top, where the first of all is taken."""
    logits = np.round(2 * draw_logits(classes, classes)) / 2
    expected = logits.argmax(axis=0)
    assert ((logits == logits.max(axis=0)).sum(axis=0) > 1).mean() > 0.02
    found, confidence = confidences(torch.from_numpy(logits)[None])
    decision = Decision.argmax(classes)
    assert decision.is_argmax
    np.testing.assert_array_equal(decision.mask(Maps(found[0].numpy(), confidence[0].numpy())), expected)
    np.testing.assert_array_equal(decision.mask(maps_of(softmax(logits, axis=0))), expected)


@pytest.mark.parametrize(
    "thresholds", [(0.5, 0.5, 0.5), (0.25, 0.5, 0.75), (0.5, 0.5, 0.125), (0.0, 1.0, 0.375), (0.3, 0.3, 0.3)]
)
@pytest.mark.parametrize("areas", [(0, 0, 0), (1, 2, 3), (40, 0, 5), (10**6, 3, 0)])
def test_thresholds_and_areas(thresholds, areas):
    decision = Decision(thresholds, areas)
    for seed in range(2):
        maps = draw_maps(seed)
        before = Maps(*(part.copy() for part in maps))
        mask = decision.mask(maps)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, decide(maps, decision))
        assert all(np.array_equal(*pair) for pair in zip(before, maps, strict=True)), "the maps were written to"


def test_pixels_that_touch_at_a_corner_are_one_defect():
    maps = Maps(np.ones((3, 3), np.uint8), np.eye(3, dtype=np.float32))
    assert Decision((0.5,), (3,)).mask(maps).sum() == 3
    assert Decision((0.5,), (4,)).mask(maps).sum() == 0


def test_classes_do_not_lend_one_another_pixels():
    maps = Maps(np.array([[1, 1, 2, 2, 2]], np.uint8), np.ones((1, 5), np.float32))
    assert Decision((0.5, 0.5), (3, 3)).mask(maps).tolist() == [[0, 0, 2, 2, 2]]


@pytest.mark.parametrize("scale", [0.16, 1, 2.5])
def test_areas_are_counted_at_the_images_own_size(scale):
    decision, maps = Decision((0.25, 0.375, 0.5), (20, 50, 6)), draw_maps(5)
    np.testing.assert_array_equal(decision.mask(maps, scale), decide(maps, decision, scale))


def test_nothing_found():
    maps = Maps(np.ones((4, 5), np.uint8), np.zeros((4, 5), np.float32))
    assert not Decision((0.5, 0.5), (0, 9)).mask(maps).any()


# Files.


def test_round_trip_and_equality():
    decision = Decision((0.35, 0.5), (0, 120))
    assert Decision.from_dict(json.loads(json.dumps(decision.as_dict())), 2) == decision
    assert decision != Decision((0.35, 0.5), (0, 121))
    assert Decision.from_dict({"thresholds": [1], "min_area": [2**31 - 1]}, 1) == Decision((1.0,), (2**31 - 1,))
    assert not decision.is_argmax
    assert not Decision((0.5, 0.5), (0, 1)).is_argmax
    assert Decision((0.5, 0.5), (0, 0)).is_argmax
    assert len({decision, Decision((0.35, 0.5), (0, 120))}) == 1


WRONG = [
    ({}, "thresholds: None is not a list of 2 numbers"),
    ({"thresholds": [0.5, 0.5]}, "min_area: None is not a list"),
    ({"thresholds": [0.5], "min_area": [0]}, r"thresholds: \[0.5\] is not a list of 2 numbers, one a class"),
    ({"thresholds": "00", "min_area": [0, 0]}, "thresholds: '00' is not a list"),
    ({"thresholds": [0.5, 1.5], "min_area": [0, 0]}, "thresholds: 1.5 is not a number from 0 to 1"),
    ({"thresholds": [0.5, -0.1], "min_area": [0, 0]}, "thresholds: -0.1 is not a number"),
    ({"thresholds": [float("nan"), 0.1], "min_area": [0, 0]}, "thresholds: nan is not a number"),
    ({"thresholds": [True, 0.1], "min_area": [0, 0]}, "thresholds: True is not a number"),
    ({"thresholds": ["a", 0.1], "min_area": [0, 0]}, "thresholds: 'a' is not a number"),
    ({"thresholds": [0.5, 0.1], "min_area": [0, -1]}, "min_area: -1 is not a number"),
    ({"thresholds": [0.5, 0.1], "min_area": [0, float("inf")]}, "min_area: inf is not a number"),
    ({"thresholds": [0.5, 0.1], "min_area": [0, 2**31]}, "min_area: 2147483648 is not a number from 0 to 2147483647"),
    ({"thresholds": [0.5, 0.1], "min_area": [0, None]}, "min_area: None is not a number"),
    ({"thresholds": [0.5, 0.1], "min_area": [0, 1.9]}, "min_area: 1.9 is not a whole number"),
    ({"thresholds": [0.5, 0.1], "min_area": [0, 1], "class_names": ["b", "a"]}, "was tuned for the classes"),
]


@pytest.mark.parametrize(("values", "message"), WRONG)
def test_what_is_no_decision(values, message, tmp_path):
    if "class_names" not in values:
        with pytest.raises(UserError, match=f"^{message}"):
            Decision.from_dict(values, 2)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=f"^{path}:? {message}"):
        read_decision(path, ["a", "b"])


def test_files_of_decisions(tmp_path):
    path = decision_path(tmp_path / "best.ckpt")
    assert path == tmp_path / "best.decision.json"
    ways = {decision_path(tmp_path / "best.ckpt", tta, averaged) for tta in (False, True) for averaged in (1, 2, 3)}
    assert len(ways) == 6, "one way to run must not take the decision of another"
    with pytest.raises(UserError, match=f"no file {path}"):
        read_decision(path, ["rust"])
    path.write_text(json.dumps({"thresholds": [0.25], "min_area": [7], "other": "keys may be there"}))
    assert read_decision(path, ["rust"]) == Decision((0.25,), (7,))
    for broken in ("", "{", "[1]", "null", "3"):
        path.write_text(broken)
        with pytest.raises(UserError, match=str(path)):
            read_decision(path, ["rust"])
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(UserError, match="cannot be read"):
        read_decision(path, ["rust"])
    with pytest.raises(UserError, match="cannot be read"):
        read_decision(tmp_path, ["rust"])
