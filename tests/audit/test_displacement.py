"""Where a mark would fit better: all displacements at once, against sliding it pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from steel_defects.audit.displacement import best_displacement, shift


def slide(inside: np.ndarray, down: int, right: int) -> np.ndarray:
    """`inside` moved; np.roll in an image so much larger that nothing comes round."""
    rows, columns = max(inside.shape[0], abs(down)), max(inside.shape[1], abs(right))
    room = np.pad(inside, ((rows, rows), (columns, columns)))
    return np.roll(room, (down, right), axis=(0, 1))[rows:-rows, columns:-columns]


def overlap(marked: np.ndarray, probability: np.ndarray, down: int = 0, right: int = 0) -> float:
    shared = probability[slide(marked, down, right)].sum(dtype=float)
    return 2 * shared / (probability.sum(dtype=float) + np.count_nonzero(marked))


def by_sliding(marked: np.ndarray, probability: np.ndarray, near: float, far: float) -> dict[tuple[int, int], float]:
    """Overlap at each displacement allowed."""
    height, width = marked.shape
    return {
        (down, right): overlap(marked, probability, down, right)
        for down in range(-height + 1, height)
        for right in range(-width + 1, width)
        if near <= math.hypot(down, right) <= far
    }


def box(shape: tuple[int, int], top: int, left: int, height: int, width: int) -> np.ndarray:
    inside = np.zeros(shape, bool)
    inside[top : top + height, left : left + width] = True
    return inside


def make_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A mark, at an edge of the image as often as not, and probabilities."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(3, 15, 2).tolist()
    marked = rng.random((height, width)) < rng.choice([0.05, 0.3, 0.9])
    if seed % 3 == 0:
        marked &= box((height, width), 0, 0, 2, width)
    marked[rng.integers(height), rng.integers(width)] = True
    return marked, (rng.random((height, width)) ** rng.choice([1, 8])).astype(np.float32)


@pytest.mark.parametrize("seed", range(40))
def test_the_best_of_all_displacements(seed):
    marked, probability = make_case(seed)
    rng = np.random.default_rng(seed)
    far = int(rng.integers(1, min(marked.shape)))
    near = float(rng.uniform(0.5, far))
    overlaps = by_sliding(marked, probability, near, far)
    found = best_displacement(marked, probability, near, far)
    best = max(overlaps.values())
    assert found.overlap == pytest.approx(best, abs=1e-6)
    assert overlaps[found.down, found.right] == pytest.approx(best, abs=1e-6)
    assert found.gain == pytest.approx(max(0, best - overlap(marked, probability)), abs=1e-6)
    assert all(type(steps) is int for steps in (found.down, found.right))


def test_no_gain_where_the_mark_lies_best():
    marked = box((60, 60), 20, 20, 12, 12)
    found = best_displacement(marked, marked.astype(np.float32), 2, 10)
    assert found.gain == 0
    assert found.overlap == pytest.approx(2 * 12 * 10 / 288), "that of the best one far enough: two pixels aside"
    assert (abs(found.down), abs(found.right)) in ((2, 0), (0, 2))


def test_nothing_is_looked_for_nearer_or_further_than_asked():
    marked, seen = box((64, 64), 10, 10, 8, 8), box((64, 64), 10, 40, 8, 8).astype(np.float32)
    assert best_displacement(marked, seen, 3, 30)[:3] == pytest.approx((0, 30, 1))
    assert best_displacement(marked, seen, 3, 21).gain == pytest.approx(0, abs=1e-6)
    assert best_displacement(marked, slide(seen, 0, -25), 6, 30).overlap == pytest.approx(7 / 8, abs=1e-6)


@pytest.mark.parametrize("shape", [(9, 17), (17, 9), (12, 12)])
def test_far_beyond_the_image_means_its_smaller_side(shape):
    rng = np.random.default_rng(0)
    marked, probability = rng.random(shape) < 0.2, rng.random(shape).astype(np.float32)
    found = best_displacement(marked, probability, 2, 10_000)
    assert found == best_displacement(marked, probability, 2, min(shape) - 1)
    overlaps = by_sliding(marked, probability, 2, min(shape) - 1)
    assert found.overlap == pytest.approx(max(overlaps.values()), abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 3)])
def test_images_without_room_to_move(shape):
    marked = np.zeros(shape, bool)
    marked[0, 0] = True
    probability = np.full(shape, 0.5, np.float32)
    found = best_displacement(marked, probability, 4, 50)
    assert (found.down, found.right, found.gain) == (0, 0, 0)
    assert found.overlap == pytest.approx(2 * 0.5 / (probability.sum() + 1))


def test_nothing_seen_at_all():
    found = best_displacement(box((20, 20), 5, 5, 4, 4), np.zeros((20, 20), np.float32), 2, 8)
    assert (found.overlap, found.gain) == pytest.approx((0, 0), abs=1e-12)


@pytest.mark.parametrize("steps", [(0, 0), (3, 0), (-3, 5), (0, -11), (7, 11), (8, 0), (0, 12), (-8, -12), (100, -100)])
def test_shift_is_that_of_numpy(steps):
    inside = np.random.default_rng(0).random((8, 12)) < 0.5
    np.testing.assert_array_equal(shift(inside, *steps), slide(inside, *steps))
    assert shift(inside, *steps).dtype == bool
