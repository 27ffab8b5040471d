"""The kinds of defect that synthetic strips show, each drawn into a box of its own.

A kind is a function of a generator, height and width in pixels. It returns what the steel's brightness is multiplied
by, float32 [h, w], and where the defect is, bool [h, w].
"""

from __future__ import annotations

import cv2
import numpy as np

Part = tuple[np.ndarray, np.ndarray]


def noise(rng: np.random.Generator, h: int, w: int, grain_y: float, grain_x: float) -> np.ndarray:
    """Smooth noise, about standard normal, with features of the given height and width in pixels."""
    grid = rng.standard_normal((max(2, round(h / grain_y) + 1), max(2, round(w / grain_x) + 1)), np.float32)
    return cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC) * 1.25


def _grid(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows [h, 1] and columns [1, w] as coordinates from -1 to 1, float32."""
    return np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)[None]


def _blob(rng: np.random.Generator, h: int, w: int, rough: float) -> np.ndarray:
    """A ragged ellipse that fills its box: above 0 inside, up to about 1 in the middle, float32 [h, w]."""
    y, x = _grid(h, w)
    ragged = noise(rng, h, w, h / 3, w / 3) + 0.5 * noise(rng, h, w, h / 9, w / 9) + 0.25 * noise(rng, h, w, 5, 4)
    radius = np.hypot(y, x)
    return 0.8 - radius + rough * ragged * np.clip(2.2 - 2 * radius, 0, 1)  # no noise at the box: its sides never show


def pit(rng: np.random.Generator, h: int, w: int) -> Part:
    """Class 1: a dark hollow with a glinting rim; several of them make a cluster."""
    field = _blob(rng, h, w, 0.22)
    hollow = np.clip(4 * field - 0.4, 0, 1)
    gain = 1 - rng.uniform(0.55, 0.8) * hollow
    side = np.roll(hollow, (rng.integers(2, 5), rng.integers(-3, 4)), (0, 1))
    glint = np.clip(noise(rng, h, w, 4, 3) + 0.6, 0, 2) * (
        hollow * (1 - side) + 0.35 * (hollow * noise(rng, h, w, 4, 3) > 1)
    )
    return gain + rng.uniform(0.8, 1.7) * glint, field > 0.1


def streak(rng: np.random.Generator, h: int, w: int) -> Part:
    """Class 2: a single soft band along the height, dark with a light seam, slightly slanted, tapering to its ends."""
    y, x = _grid(h, w)
    half = 0.75 * np.sqrt(np.clip(1.02 - abs(y) ** 5, 0, 1))
    across = (x - rng.uniform(-0.2, 0.2) * y - 0.04 * noise(rng, h, 1, 40, 1)) / np.maximum(half, 0.05)
    fade = np.clip(6 * (1 - abs(y)), 0, 1) * (1 + 0.15 * noise(rng, h, 1, 12, 1))
    dark = np.exp(-((1.25 * across) ** 4)) * (1 + 0.2 * noise(rng, h, w, 14, 2))
    seam = np.exp(-(((across - rng.uniform(-0.4, 0.4)) * 7) ** 2))
    return 1 + fade * (rng.uniform(0.3, 0.7) * seam - rng.uniform(0.5, 0.7) * dark), (abs(across) < 1) & (half > 0.1)


def lines(rng: np.random.Generator, h: int, w: int) -> Part:
    """Class 3: hair-thin scratches along the height, alone or as a sheaf."""
    gain, defect = np.ones((h, w), np.float32), np.zeros((h, w), bool)
    for x in np.linspace(0.1 * w + 3, 0.9 * w - 4, max(1, round(w / rng.uniform(14, 30)))).astype(int):
        x, end = min(max(int(x + rng.integers(-4, 5)), 2), w - 5), round(h * min(1, rng.uniform(0.6, 1.5)))
        depth = rng.uniform(0.35, 0.75) * np.clip(1 + 0.25 * noise(rng, end, 1, 20, 1), 0.3, 1.3)
        wide = int(rng.integers(2, 5))
        gain[:end, x - 1 : x - 1 + wide] -= depth
        gain[:end, x - 1 + wide : x + wide] += 0.6 * depth
        defect[:end, max(x - 6, 0) : x + 7] = True
    return np.maximum(gain, 0.15), defect


def scale_band(rng: np.random.Generator, h: int, w: int) -> Part:
    """Class 3: flaking scale, torn along and across the rolling direction, dark."""
    y, x = _grid(h, w)
    ends = 6 * np.clip(abs(y) - 0.85 + 0.08 * noise(rng, 1, w, 1, 6), 0, 1)
    torn = noise(rng, h, w, 60, 7) + 0.8 * noise(rng, h, w, 5, 40) + 0.4 * noise(rng, h, w, 3, 3)
    torn = np.clip(2 * (torn + 0.4 - 2.2 * x**2 - ends), 0, 1)
    gain = 1 - rng.uniform(0.5, 0.7) * torn
    gain[(noise(rng, h, w, 5, 3) > 1.7) & (torn > 0)] = 1.9
    return gain, (torn > 0.5) | ((abs(x) < rng.uniform(0.4, 0.7)) & (abs(y) < 0.85))


def bright_band(rng: np.random.Generator, h: int, w: int) -> Part:
    """Class 3: a rubbed band of bright grain that meanders along the height."""
    _, x = _grid(h, w)
    across = (x - 0.16 * noise(rng, h, 1, 70, 1) - 0.05 * noise(rng, h, 1, 8, 1)) / rng.uniform(0.4, 0.6)
    rubbed = np.exp(-(across**2) * 1.5)
    grain = np.clip(0.5 + 0.5 * noise(rng, h, w, 2, 3) + 0.2 * noise(rng, h, w, 12, 12), 0, 2)
    return 1 + rng.uniform(0.6, 1.1) * rubbed * grain, abs(across) < 1.1


def scratch(rng: np.random.Generator, h: int, w: int) -> Part:
    """Class 3: a gouge across or aslant, dark with a bright burr, flecked along its way."""
    t = np.linspace(0, 1, max(12, w // 6))
    bow = (
        0.5
        + rng.choice([-1, 1]) * (rng.uniform(0, 0.38) * (1 - (2 * t - 1) ** 2) - 0.15)
        + 0.025 * rng.standard_normal(t.size)
    )
    path = np.stack([(0.04 + 0.92 * t) * w, (bow if rng.random() < 0.5 else 0.1 + 0.8 * t + 0.2 * (bow - 0.5)) * h], -1)
    if rng.random() < 0.5:
        path[:, 1] = h - path[:, 1]
    path = np.rint(path).astype(np.int32)[None]
    line, burr, near = (np.zeros((h, w), np.float32) for _ in range(3))
    cv2.polylines(line, path, False, 1.0, int(rng.integers(2, 4)), cv2.LINE_AA)
    cv2.polylines(burr, path - np.array([0, 3], np.int32), False, 1.0, 2, cv2.LINE_AA)
    cv2.polylines(near, path - np.array([0, 4], np.int32), False, 1.0, max(6, h // 3))
    flecks = near * np.clip(noise(rng, h, w, 3, 3) - 0.7, 0, 1.5)
    worn = np.clip(0.6 + 0.5 * noise(rng, h, w, 30, 25) + 0.25 * noise(rng, h, w, 3, 3), 0.05, 1.2)
    return np.maximum(1 + worn * (0.8 * burr - 0.7 * line + 0.7 * flecks), 0.15), (near > 0) | (line > 0.3)


def spots(rng: np.random.Generator, h: int, w: int) -> Part:
    """Class 3: a rash of dark and bright flakes, slanting."""
    field = _blob(rng, h, w, 0.2)
    flakes = cv2.warpAffine(
        noise(rng, h, w, 10, 4) + 0.5 * noise(rng, h, w, 3, 2),
        np.array([[1, -0.4, 0.2 * h], [0, 1, 0]], np.float32),
        (w, h),
        borderMode=cv2.BORDER_REFLECT,
    )
    inside = np.clip(5 * field, 0, 1)
    dark = inside * np.clip(1.2 * (flakes + 0.2), 0, 1)
    bright = inside * np.clip(2 * (-np.roll(flakes, (3, 2), (0, 1)) - rng.uniform(1.0, 1.8)), 0, 1)
    return 1 - rng.uniform(0.4, 0.65) * dark + rng.uniform(0.6, 1.4) * bright, field > 0.05


def blotch(rng: np.random.Generator, h: int, w: int) -> Part:
    """Class 3: rubbed or burnt-in scale, drawn out along the height, overexposed in places."""
    field = _blob(rng, h, w, 0.3) + 0.12 * noise(rng, h, w, 12, 4)
    inside = np.clip(4 * field, 0, 1) * np.clip(
        0.5 + 0.6 * noise(rng, h, w, 7, 2.5) + 0.5 * noise(rng, h, w, 2, 2), 0, 2
    )
    return 1 + rng.uniform(0.5, 1.2) * inside, field > 0.03


def patch(rng: np.random.Generator, h: int, w: int) -> Part:
    """Class 4: a large rolled-in patch, duller than the steel, with a raised rim, folds and cracks."""
    field = _blob(rng, h, w, 0.28) + 0.05 * noise(rng, h, w, 6, 6)
    inside = np.clip(7 * field, 0, 1)
    folds = noise(rng, h, w, 22, 50)
    crease = noise(rng, h, w, 60, 110) + 0.12 * noise(rng, h, w, 9, 12) + 0.05 * noise(rng, h, w, 3, 3)
    cracks = np.exp(-((crease * 11) ** 2)) - 0.7 * np.exp(-(((crease - 0.2) * 11) ** 2))
    cracks *= np.clip(noise(rng, h, w, 50, 40) + 0.3, 0, 1)
    rough = 0.1 * folds + 0.07 * noise(rng, h, w, 9, 5) + 0.08 * noise(rng, h, w, 2, 2)
    ridge = np.exp(-(((field - 0.1) * 18) ** 2)) * np.clip(noise(rng, h, w, 30, 20), 0, 2)
    dark = rng.random() < 0.8
    body = rng.uniform(0.3, 0.55) if dark else -rng.uniform(0.25, 0.45)
    edge = 0.3 * dark * np.exp(-(((field - 0.04) * 25) ** 2)) * np.clip(0.5 + noise(rng, h, w, 30, 30), 0, 1.5)
    gain = 1 + inside * (rough - body) - edge - 0.45 * inside * cracks + rng.uniform(0.2, 0.7) * ridge
    return np.clip(gain, 0.12, 2.5), field > 0
