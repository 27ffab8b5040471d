"""Connected defects against scikit-image's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from skimage.measure import label

from steel_defects.data.components import connected_runs, erase_small


def spots(shape: tuple[int, int], density: float, classes: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(1, classes + 1, shape) * (rng.random(shape) < density)).astype(np.uint8)


def spiral(side: int) -> np.ndarray:
    """One defect whose ends are far apart along its pixels: hard on what passes labels from neighbour to neighbour."""
    mask = np.zeros((side, side), np.uint8)
    y, x, dy, dx = 0, 0, 0, 1
    mask[0, 0] = 1
    for _ in range(side * side):
        ahead = y + 2 * dy, x + 2 * dx
        inside = 0 <= y + dy < side and 0 <= x + dx < side
        if not inside or (0 <= ahead[0] < side and 0 <= ahead[1] < side and mask[ahead]):
            dy, dx = dx, -dy
            if not (0 <= y + dy < side and 0 <= x + dx < side) or mask[y + dy, x + dx]:
                break
        y, x = y + dy, x + dx
        mask[y, x] = 1
    return mask


def wide(mask: np.ndarray) -> np.ndarray:
    """A mask inside a larger clean one."""
    return np.pad(mask, ((3, 5), (7, 2)))


MASKS = {
    "empty": np.zeros((5, 7), np.uint8),
    "full": np.full((5, 7), 2, np.uint8),
    "pixel": np.ones((1, 1), np.uint8),
    "row": np.array([[1, 1, 0, 2, 1, 1]], np.uint8),
    "column": np.array([[1, 1, 0, 2, 1, 1]], np.uint8).T,
    "corners": np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], np.uint8),
    "foot to head": np.array([[0, 1], [0, 0], [1, 0]], np.uint8),
    "classes crossing": np.array([[1, 2], [2, 1]], np.uint8),
    "checks": np.indices((9, 8)).sum(0).astype(np.uint8) % 2 + 1,
    "spiral": spiral(41),
    **{
        f"{density}, {classes} classes, {shape}": spots(shape, density, classes, seed)
        for seed, (density, classes, shape) in enumerate(
            [(0.02, 4, (40, 90)), (0.2, 1, (31, 64)), (0.4, 2, (64, 31)), (0.6, 7, (40, 40)), (0.95, 3, (20, 50))]
        )
    },
}
MASKS |= {f"{name}, padded": wide(mask) for name, mask in MASKS.items()}


def defects_of(mask: np.ndarray) -> list[tuple[int, frozenset]]:
    """(class, pixels) of each defect in the promised order, by scikit-image."""
    found = []
    for c in range(1, int(mask.max()) + 1):
        labels = label(mask == c, connectivity=2)
        pixels = [np.argwhere(k == labels.T) for k in range(1, labels.max() + 1)]  # columns first: (x, y), sorted
        found += [(c, [tuple(p) for p in each.tolist()]) for each in sorted(pixels, key=lambda each: each[0].tolist())]
    return found


@pytest.mark.parametrize("name", MASKS)
def test_defects_are_scikit_images_in_order(name):
    mask = MASKS[name]
    runs = connected_runs(mask)
    bounds = [*runs.first.tolist(), len(runs.tops)]
    found = []
    for low, high in itertools.pairwise(bounds):
        pixels = [
            (int(x), int(y) + k)
            for x, y, length in zip(runs.columns[low:high], runs.tops[low:high], runs.lengths[low:high], strict=True)
            for k in range(length)
        ]
        assert len(set(runs.classes[low:high].tolist())) == 1
        found.append((int(runs.classes[low]), pixels))
    expected = defects_of(mask)
    assert found == expected
    assert runs.areas.tolist() == [len(pixels) for _, pixels in expected]


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("least", [0, 1, 2, 5, 10_000])
def test_erase_small(name, least):
    mask = MASKS[name].copy()
    needs = [least + c for c in range(7)]
    expected = mask.copy()
    for c, pixels in defects_of(mask):
        if len(pixels) < needs[c - 1]:
            for x, y in pixels:
                expected[y, x] = 0
    erase_small(mask, needs)
    np.testing.assert_array_equal(mask, expected)
