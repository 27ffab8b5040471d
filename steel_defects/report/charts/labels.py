"""Where names stand beside their points: not on each other, not on what is drawn, inside of the chart."""

from __future__ import annotations

import numpy as np

NEAR = 7.0  # points between the middle of a marker and its label, at the least
_DISTANCES = (NEAR, 14.0, 24.0, 36.0, 50.0, 66.0, 84.0)
_DIRECTIONS = np.arange(16) * np.pi / 8
_ROUNDS = 20


def place_labels(places: np.ndarray, sizes: np.ndarray, things: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Find a place for each label: each in turn goes where it covers least, until none has a better place.

    Args:
        places: of the points, float [N, 2], in points (1/72 inch) as all that follows.
        sizes: widths and heights of the labels, float [N, 2].
        things: boxes (left, bottom, right, top) that should not be covered, float [M, 4].
        area: the box that labels should stay in, float [4].

    Returns:
        Boxes of the labels, float [N, 4].
    """
    offers, costs = [], []
    for k, (place, size) in enumerate(zip(places, sizes, strict=True)):
        middles, far = _around(place, size)
        boxes = np.hstack([middles - size / 2, middles + size / 2])
        outside = np.prod(size) - _overlaps(boxes, area[None])[:, 0]
        away = np.linalg.norm(nearest(boxes, places[:, None]) - places[:, None], axis=2)
        mistaken = (away < away[k] + 3).sum(0) - 1  # markers that the label might seem to belong to
        offers.append(boxes)
        costs.append(_overlaps(boxes, things).sum(1) + 5 * outside + 40 * mistaken + far)
    chosen = np.array([boxes[cost.argmin()] for boxes, cost in zip(offers, costs, strict=True)])
    for _ in range(_ROUNDS):
        before = chosen.copy()
        for k, (boxes, cost) in enumerate(zip(offers, costs, strict=True)):
            others = np.arange(len(chosen)) != k
            taken = chosen[others]
            # The lines that lead from points to their labels cross labels, too.
            crossed = _crossings(places[others], nearest(taken, places[others]), boxes).sum(0)
            crossed += _crossings(np.broadcast_to(places[k], (len(boxes), 2)), nearest(boxes, places[k]), taken).sum(1)
            chosen[k] = boxes[(cost + 3 * _overlaps(boxes, taken).sum(1) + 100 * crossed).argmin()]
        if np.array_equal(chosen, before):
            break
    return chosen


def nearest(boxes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The places in boxes [..., 4] that are nearest to given ones [..., 2]."""
    return np.clip(places, boxes[..., :2], boxes[..., 2:])


def _around(place: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middles that a label may have, float [K, 2], and what each costs for being far, float [K]."""
    distance, angle = (grid.ravel() for grid in np.meshgrid(_DISTANCES, _DIRECTIONS, indexing="ij"))
    direction = np.column_stack([np.cos(angle), np.sin(angle)])
    # So that the label's edge, and not its middle, keeps the distance on all sides.
    to_edge = np.clip(direction * 1.5, -1, 1) * size / 2
    return place + direction * distance[:, None] + to_edge, 2 * (distance - NEAR) + 2 * abs(np.sin(angle))


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Areas that boxes [M, 4] share with others [N, 4]: float [M, N]."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=2)


def _crossings(starts: np.ndarray, ends: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Shares of the lines from starts to ends, [M, 2] each, that lie inside of boxes [N, 4]: float [M, N]."""
    along = np.linspace(0, 1, 21)[:, None, None]
    at = (starts + along * (ends - starts))[:, :, None]
    inside = (at >= boxes[:, :2]) & (at <= boxes[:, 2:])
    return inside.all(3).mean(0)
