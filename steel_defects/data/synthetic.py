"""Steel-like strips drawn by the computer, in the layout of Kaggle's `severstal-steel-defect-detection`.

They stand in for the real pictures where those are not at hand: to try the programs out and to test them. The kinds of
defect, how often they occur and how much area they take follow the Severstal training set; scores reached on them say
nothing about real steel.

Every length below is in pixels of a strip of 256x1600 and is scaled along for other sizes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from steel_defects.data.rle import encode
from steel_defects.errors import UserError

VERSION = 1  # raise when the same seed draws other pictures
MANIFEST = "synthetic.json"
IMAGES, DEFECTIVE = 12_568, 6_666  # of the Severstal training set
PAIRS = {1: 897, 2: 247, 3: 5_150, 4: 801}  # (image, class) pairs of the Severstal training set
FLOOR, FLOOR_CAP, FLOOR_FROM = 0.08, 40, 40
MIN_SIDE = 64
# Area aimed at for a class in one image, and the spread of its logarithm. The masks come out somewhat larger or
# smaller; tuned so that the classes' shares of the whole mask area are the paper's (2.39, 0.51, 80, 17 %).
_AREA = {1: (4_500, 0.4), 2: (2_700, 0.35), 3: (30_000, 0.9), 4: (38_500, 0.6)}
_PAINT_ORDER = (4, 3, 1, 2)  # large first: the small ones find room more easily

_Part = tuple[np.ndarray, np.ndarray]  # gain on the brightness, float32 [h, w]; where the defect is, bool [h, w]


def draw_strip(
    seed: int | tuple[int, ...], index: int, classes: Sequence[int], height: int = 256, width: int = 1600
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one strip. The same arguments draw the same picture.

    Args:
        seed: of the data set; not negative.
        index: of the strip within the data set; not negative.
        classes: defects to draw, each in 1..4; none for clean steel.
        height: in pixels, at least 64.
        width: in pixels, at least 64.

    Returns:
        The picture, grey, uint8 [height, width], and its mask, uint8 [height, width]: 0 background, 1..4 the class.
        Each class asked for has pixels in the mask; none lies in the black margin beyond the strip's edge.
    """
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"a strip is at least {MIN_SIDE} pixels high and wide, not {height}x{width}")
    if unknown := set(classes) - set(PAIRS):
        raise ValueError(f"there are the classes 1 to 4, not {sorted(unknown)}")
    entropy = (seed,) if isinstance(seed, int) else tuple(seed)
    rng = np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(0, index)))
    left, right, light = _edges(rng, height, width)
    mask = np.zeros((height, width), np.uint8)
    strip = _Strip(rng, _surface(rng, height, width), mask, light > 0.2, left, right)
    for class_index in _PAINT_ORDER:
        if class_index in classes:
            _draw_class(strip, class_index)
    noise = rng.standard_normal((height, width), np.float32)
    image = strip.surface * light + rng.uniform(0.5, 4.5) + noise * 1.2
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), strip.mask


@dataclass
class _Strip:
    rng: np.random.Generator
    surface: np.ndarray  # brightness, float32 [H, W]
    mask: np.ndarray  # uint8 [H, W]
    steel: np.ndarray  # bool [H, W]
    left: int  # columns left..right hold nothing but steel
    right: int

    @property
    def unit(self) -> float:
        return float(np.sqrt(self.mask.size / (256 * 1600)))

    def place(self, class_index: int, part: _Part, slack: float, near: tuple[float, float] | None = None) -> None:
        """Lay a part on the steel where it covers least of what is there; near: row, column of its centre, roughly."""
        gain, defect = part
        (h, w), best = gain.shape, (np.inf, 0, 0)
        spread = 45 * self.unit
        for _ in range(12):
            y, x = self.rng.integers(0, self.mask.shape[0] - h + 1), self.rng.integers(self.left, self.right - w + 1)
            if near is not None:
                y, x = near[0] + self.rng.normal(0, 1.6 * spread) - h / 2, near[1] + self.rng.normal(0, spread) - w / 2
                y, x = np.clip(y, 0, self.mask.shape[0] - h), np.clip(x, self.left, self.right - w)
                spread *= 1.1  # a full neighbourhood is left by and by
            y, x = int(y), int(x)
            around = self.mask[max(y - 3, 0) : y + h + 3, max(x - 3, 0) : x + w + 3]
            best = min(best, (np.count_nonzero(around), y, x))
            if not best[0]:
                break
        _, y, x = best
        box = np.s_[y : y + h, x : x + w]
        label = _outline(defect, max(1, round(slack * self.unit))) & (self.mask[box] == 0) & self.steel[box]
        self.mask[box][label] = class_index
        self.surface[box][label] *= gain[label]


def _noise(rng: np.random.Generator, h: int, w: int, grain_y: float, grain_x: float) -> np.ndarray:
    """Smooth noise, about standard normal, with features of the given height and width in pixels."""
    grid = rng.standard_normal((max(2, round(h / grain_y) + 1), max(2, round(w / grain_x) + 1)), np.float32)
    return cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC) * 1.25


def _surface(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    """Clean steel: brightness, float32 [h, w]."""
    u = np.sqrt(h * w / (256 * 1600))
    # Light: brighter towards the lower rim as on most real strips, uneven across the width.
    light = 1 + rng.uniform(0.05, 0.4) * np.linspace(-1, 1, h, dtype=np.float32)[:, None]
    light = light * (1 + 0.17 * _noise(rng, 1, w, 1, w / 3))
    # Rolling leaves streaks along the height: some run through, others come and go.
    streaks = (
        0.018 * _noise(rng, 1, w, 1, 3) + 0.03 * _noise(rng, 1, w, 1, 14 * u) + 0.04 * _noise(rng, 1, w, 1, 60 * u)
    )
    texture = 1 + streaks + 0.03 * _noise(rng, h, w, 90 * u, 4) + 0.025 * _noise(rng, h, w, 110 * u, 90 * u)
    zones = np.clip(_noise(rng, 1, w, 1, 150 * u), 0, 1)  # a finish that covers a part of the width only
    if rng.random() < 0.45:  # lighter islands, drawn out along the height
        islands = _noise(rng, h, w, 30 * u, 6) + 0.6 * _noise(rng, h, w, 8, 3) - 0.7
        texture += rng.uniform(0.1, 0.22) * zones * np.clip(4 * islands, 0, 1)
    if rng.random() < 0.3:  # ripples across the width
        texture += rng.uniform(0.03, 0.07) * (0.1 + zones[:, ::-1]) * _noise(rng, h, w, 4, 70 * u)
    if rng.random() < 0.35:  # drying stains with a clear rim
        texture *= 1 - rng.uniform(0.04, 0.12) * np.clip(8 * _noise(rng, h, w, 170 * u, 300 * u), 0, 1)
    # The sensor's grain is drawn out across the width, and stronger in some zones.
    grain = cv2.GaussianBlur(rng.standard_normal((h, w), np.float32), (0, 0), sigmaX=0.85, sigmaY=0.5)
    texture += rng.uniform(0.1, 0.21) * (0.7 + 0.8 * zones) * grain
    glints = grain > rng.uniform(1.85, 2.5)
    texture[glints] += rng.uniform(0.2, 0.7)
    return np.clip(rng.normal(93, 18), 50, 122).astype(np.float32) * light * texture


def _edges(rng: np.random.Generator, h: int, w: int) -> tuple[int, int, np.ndarray]:
    """The strip's edges: first and last column (exclusive) that are all steel, and the light there, float32 [h, w]."""
    light = np.ones((h, w), np.float32)
    if rng.random() >= 0.35:
        return 0, w, light
    u = np.sqrt(h * w / (256 * 1600))
    edge = w * (0.02 + 0.5 * rng.beta(1.1, 1.6))
    ragged = edge + np.clip(
        u * rng.uniform(0.3, 1.2) * (_noise(rng, h, 1, 2, 1) + 2 * _noise(rng, h, 1, 60, 1)), -7 * u, 7 * u
    )
    inside = (np.arange(w, dtype=np.float32) - ragged) / u  # distance from the edge
    light = np.clip(inside / 3, 0, 1) * np.clip(rng.uniform(0.25, 0.5) + inside / rng.uniform(50, 110), 0, 1)
    light *= 1 + 0.35 * np.exp(-(((inside - rng.uniform(8, 35)) / 4) ** 2))
    first = min(w - 16, int(edge + 10 * u) + 2)
    if rng.random() < 0.5:
        return first, w, light
    return 0, w - first, light[:, ::-1]


def _outline(defect: np.ndarray, slack: int) -> np.ndarray:
    """The polygon a person would draw around a defect, some `slack` pixels off it: bool [h, w]."""
    h, w = defect.shape
    coarse = cv2.resize(defect.astype(np.float32), (-(-w // slack), -(-h // slack)), interpolation=cv2.INTER_AREA)
    coarse = cv2.morphologyEx((coarse > 0.15).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    coarse = cv2.dilate(coarse, np.ones((3, 3), np.uint8))
    label = np.zeros((h, w), np.uint8)
    for contour in cv2.findContours(coarse, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
        corners = cv2.approxPolyDP(contour, 0.9, True) * np.array([w, h]) / (np.array(coarse.shape[::-1]) - 0.999)
        cv2.fillPoly(label, [np.rint(corners).astype(np.int32)], 1)
    return label.astype(bool)


def _grid(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows [h, 1] and columns [1, w] as coordinates from -1 to 1, float32."""
    return np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)[None]


def _blob(rng: np.random.Generator, h: int, w: int, rough: float) -> np.ndarray:
    """A ragged ellipse that fills its box: above 0 inside, up to about 1 in the middle, float32 [h, w]."""
    y, x = _grid(h, w)
    noise = _noise(rng, h, w, h / 3, w / 3) + 0.5 * _noise(rng, h, w, h / 9, w / 9) + 0.25 * _noise(rng, h, w, 5, 4)
    radius = np.hypot(y, x)
    return 0.8 - radius + rough * noise * np.clip(2.2 - 2 * radius, 0, 1)  # no noise at the box: its sides never show


def _pit(rng: np.random.Generator, h: int, w: int) -> _Part:
    """Class 1: a dark hollow with a glinting rim; several of them make a cluster."""
    field = _blob(rng, h, w, 0.22)
    hollow = np.clip(4 * field - 0.4, 0, 1)
    gain = 1 - rng.uniform(0.55, 0.8) * hollow
    side = np.roll(hollow, (rng.integers(2, 5), rng.integers(-3, 4)), (0, 1))
    glint = np.clip(_noise(rng, h, w, 4, 3) + 0.6, 0, 2) * (
        hollow * (1 - side) + 0.35 * (hollow * _noise(rng, h, w, 4, 3) > 1)
    )
    return gain + rng.uniform(0.8, 1.7) * glint, field > 0.1


def _streak(rng: np.random.Generator, h: int, w: int) -> _Part:
    """Class 2: a single soft band along the height, dark with a light seam, slightly slanted, tapering to its ends."""
    y, x = _grid(h, w)
    half = 0.75 * np.sqrt(np.clip(1.02 - abs(y) ** 5, 0, 1))
    across = (x - rng.uniform(-0.2, 0.2) * y - 0.04 * _noise(rng, h, 1, 40, 1)) / np.maximum(half, 0.05)
    fade = np.clip(6 * (1 - abs(y)), 0, 1) * (1 + 0.15 * _noise(rng, h, 1, 12, 1))
    dark = np.exp(-((1.25 * across) ** 4)) * (1 + 0.2 * _noise(rng, h, w, 14, 2))
    seam = np.exp(-(((across - rng.uniform(-0.4, 0.4)) * 7) ** 2))
    return 1 + fade * (rng.uniform(0.3, 0.7) * seam - rng.uniform(0.5, 0.7) * dark), (abs(across) < 1) & (half > 0.1)


def _lines(rng: np.random.Generator, h: int, w: int) -> _Part:
    """Class 3: hair-thin scratches along the height, alone or as a sheaf."""
    gain, defect = np.ones((h, w), np.float32), np.zeros((h, w), bool)
    for x in np.linspace(0.1 * w + 3, 0.9 * w - 4, max(1, round(w / rng.uniform(14, 30)))).astype(int):
        x, end = min(max(int(x + rng.integers(-4, 5)), 2), w - 5), round(h * min(1, rng.uniform(0.6, 1.5)))
        depth = rng.uniform(0.35, 0.75) * np.clip(1 + 0.25 * _noise(rng, end, 1, 20, 1), 0.3, 1.3)
        wide = int(rng.integers(2, 5))
        gain[:end, x - 1 : x - 1 + wide] -= depth
        gain[:end, x - 1 + wide : x + wide] += 0.6 * depth
        defect[:end, max(x - 6, 0) : x + 7] = True
    return np.maximum(gain, 0.15), defect


def _scale_band(rng: np.random.Generator, h: int, w: int) -> _Part:
    """Class 3: flaking scale, torn along and across the rolling direction, dark."""
    y, x = _grid(h, w)
    ends = 6 * np.clip(abs(y) - 0.85 + 0.08 * _noise(rng, 1, w, 1, 6), 0, 1)
    torn = _noise(rng, h, w, 60, 7) + 0.8 * _noise(rng, h, w, 5, 40) + 0.4 * _noise(rng, h, w, 3, 3)
    torn = np.clip(2 * (torn + 0.4 - 2.2 * x**2 - ends), 0, 1)
    gain = 1 - rng.uniform(0.5, 0.7) * torn
    gain[(_noise(rng, h, w, 5, 3) > 1.7) & (torn > 0)] = 1.9
    return gain, (torn > 0.5) | ((abs(x) < rng.uniform(0.4, 0.7)) & (abs(y) < 0.85))


def _bright_band(rng: np.random.Generator, h: int, w: int) -> _Part:
    """Class 3: a rubbed band of bright grain that meanders along the height."""
    _, x = _grid(h, w)
    across = (x - 0.16 * _noise(rng, h, 1, 70, 1) - 0.05 * _noise(rng, h, 1, 8, 1)) / rng.uniform(0.4, 0.6)
    rubbed = np.exp(-(across**2) * 1.5)
    grain = np.clip(0.5 + 0.5 * _noise(rng, h, w, 2, 3) + 0.2 * _noise(rng, h, w, 12, 12), 0, 2)
    return 1 + rng.uniform(0.6, 1.1) * rubbed * grain, abs(across) < 1.1


def _scratch(rng: np.random.Generator, h: int, w: int) -> _Part:
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
    flecks = near * np.clip(_noise(rng, h, w, 3, 3) - 0.7, 0, 1.5)
    worn = np.clip(0.6 + 0.5 * _noise(rng, h, w, 30, 25) + 0.25 * _noise(rng, h, w, 3, 3), 0.05, 1.2)
    return np.maximum(1 + worn * (0.8 * burr - 0.7 * line + 0.7 * flecks), 0.15), (near > 0) | (line > 0.3)


def _spots(rng: np.random.Generator, h: int, w: int) -> _Part:
    """Class 3: a rash of dark and bright flakes, slanting."""
    field = _blob(rng, h, w, 0.2)
    flakes = cv2.warpAffine(
        _noise(rng, h, w, 10, 4) + 0.5 * _noise(rng, h, w, 3, 2),
        np.float32([[1, -0.4, 0.2 * h], [0, 1, 0]]),
        (w, h),
        borderMode=cv2.BORDER_REFLECT,
    )
    inside = np.clip(5 * field, 0, 1)
    dark = inside * np.clip(1.2 * (flakes + 0.2), 0, 1)
    bright = inside * np.clip(2 * (-np.roll(flakes, (3, 2), (0, 1)) - rng.uniform(1.0, 1.8)), 0, 1)
    return 1 - rng.uniform(0.4, 0.65) * dark + rng.uniform(0.6, 1.4) * bright, field > 0.05


def _blotch(rng: np.random.Generator, h: int, w: int) -> _Part:
    """Class 3: rubbed or burnt-in scale, drawn out along the height, overexposed in places."""
    field = _blob(rng, h, w, 0.3) + 0.12 * _noise(rng, h, w, 12, 4)
    inside = np.clip(4 * field, 0, 1) * np.clip(
        0.5 + 0.6 * _noise(rng, h, w, 7, 2.5) + 0.5 * _noise(rng, h, w, 2, 2), 0, 2
    )
    return 1 + rng.uniform(0.5, 1.2) * inside, field > 0.03


def _patch(rng: np.random.Generator, h: int, w: int) -> _Part:
    """Class 4: a large rolled-in patch, duller than the steel, with a raised rim, folds and cracks."""
    field = _blob(rng, h, w, 0.28) + 0.05 * _noise(rng, h, w, 6, 6)
    inside = np.clip(7 * field, 0, 1)
    folds = _noise(rng, h, w, 22, 50)
    crease = _noise(rng, h, w, 60, 110) + 0.12 * _noise(rng, h, w, 9, 12) + 0.05 * _noise(rng, h, w, 3, 3)
    cracks = np.exp(-((crease * 11) ** 2)) - 0.7 * np.exp(-(((crease - 0.2) * 11) ** 2))
    cracks *= np.clip(_noise(rng, h, w, 50, 40) + 0.3, 0, 1)
    rough = 0.1 * folds + 0.07 * _noise(rng, h, w, 9, 5) + 0.08 * _noise(rng, h, w, 2, 2)
    ridge = np.exp(-(((field - 0.1) * 18) ** 2)) * np.clip(_noise(rng, h, w, 30, 20), 0, 2)
    dark = rng.random() < 0.8
    body = rng.uniform(0.3, 0.55) if dark else -rng.uniform(0.25, 0.45)
    edge = 0.3 * dark * np.exp(-(((field - 0.04) * 25) ** 2)) * np.clip(0.5 + _noise(rng, h, w, 30, 30), 0, 1.5)
    gain = 1 + inside * (rough - body) - edge - 0.45 * inside * cracks + rng.uniform(0.2, 0.7) * ridge
    return np.clip(gain, 0.12, 2.5), field > 0


# Kind of class 3: how often, largest area of one part, range of height over width, share of its box that is labelled.
_Kind = tuple[Callable[[np.random.Generator, int, int], _Part], float, float, tuple[float, float], float]
_CLASS_3: tuple[_Kind, ...] = (
    (_lines, 3, 25_000, (2, 14), 0.8),
    (_scale_band, 3, 60_000, (1.1, 3), 0.9),
    (_bright_band, 2, 40_000, (3, 8), 0.6),
    (_scratch, 2, 9_000, (0.15, 0.5), 0.5),
    (_spots, 3, 16_000, (0.8, 3), 0.75),
    (_blotch, 2, 12_000, (1.5, 4), 0.7),
)


def _draw_class(strip: _Strip, class_index: int) -> None:
    """Draw all defects of one class, up to an area drawn by lot."""
    rng, unit = strip.rng, strip.unit
    mean, spread = _AREA[class_index]
    area = rng.lognormal(np.log(mean) - spread**2 / 2, spread) * unit**2
    area = min(area, 0.4 * strip.mask.shape[0] * (strip.right - strip.left))  # leave room for the others
    if class_index == 1:
        _draw_pits(strip, area)
    elif class_index == 2:
        for share in _shares(rng, int(rng.integers(1, 3)), area):
            h = min(strip.mask.shape[0], round(rng.uniform(90, 220) * unit))
            strip.place(2, _streak(rng, h, _fit(strip, share / h / 1.1, 16 * unit)), 2)
    elif class_index == 3:
        _draw_scratches_and_scales(strip, area)
    else:
        for share in _shares(rng, int(rng.integers(1, 4)), area):
            strip.place(4, _patch(rng, *_box(strip, share / 0.7, rng.uniform(0.5, 1.6))), 4)
    if not (strip.mask == class_index).any():
        _force(strip, class_index)


def _draw_pits(strip: _Strip, area: float) -> None:
    rng = strip.rng
    centre = rng.uniform(0.3, 0.7) * strip.mask.shape[0], rng.uniform(strip.left, strip.right)
    for share in _shares(rng, int(rng.integers(5, 14)), area):
        strip.place(1, _pit(rng, *_box(strip, share / 0.85, rng.uniform(0.8, 2.2))), 2, centre)


def _draw_scratches_and_scales(strip: _Strip, area: float) -> None:
    rng = strip.rng
    weights = np.array([kind[1] for kind in _CLASS_3])
    own = rng.choice(len(_CLASS_3), int(rng.integers(1, 3)), replace=False, p=weights / weights.sum())
    left = area
    while left > 0.1 * area:  # one strip shows one or two kinds, as a rule: what damaged it, did so again
        draw, _, largest, tall, filled = _CLASS_3[rng.choice(own)]
        share = min(left, rng.uniform(0.35, 1.0) * largest * strip.unit**2, area * rng.uniform(0.3, 1.0))
        share = max(share, 400 * strip.unit**2)
        strip.place(3, draw(rng, *_box(strip, share / filled, rng.uniform(*tall))), 3)
        left -= share


def _shares(rng: np.random.Generator, count: int, area: float) -> list[float]:
    return (rng.dirichlet(np.full(count, 4.0)) * area).tolist()


def _fit(strip: _Strip, wanted: float, least: float = 8) -> int:
    """A width in pixels that the steel has room for."""
    return min(max(round(wanted), round(least), 6), strip.right - strip.left)


def _box(strip: _Strip, area: float, tall: float) -> tuple[int, int]:
    """Height and width in pixels of a box of about that area, `tall` times as high as wide, that fits on the steel."""
    h = min(max(round(np.sqrt(area * tall)), 6), strip.mask.shape[0])
    w = _fit(strip, area / h)
    return min(max(round(area / w), 6), strip.mask.shape[0]), w


def _force(strip: _Strip, class_index: int) -> None:
    """A small spot in the middle of the largest free place, where no defect found room otherwise."""
    free = (strip.steel & (strip.mask == 0)).astype(np.uint8)
    room = cv2.distanceTransform(np.pad(free, 1), cv2.DIST_C, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(np.argmax(room), room.shape)
    r = int(min(room[y, x] - 1, 8))
    box = np.s_[y - r : y + r + 1, x - r : x + r + 1]
    strip.mask[box], strip.surface[box] = class_index, strip.surface[box] * 0.5


def allocate(num_images: int, seed: int = 0) -> list[tuple[int, ...]]:
    """Which classes each image of a data set shows, by quota and not by chance.

    As many images are clean, as many show two or three classes and each class is as frequent as in the Severstal
    training set (largest remainder). One departure: from 40 images on, each class gets at least 8 % of the defective
    images, though no more than 40 for that reason. The 3.5 % of class 2 would leave it a handful of images in a set
    of a few hundred, too few to be learnt. A set as large as Severstal's has its very counts.

    Args:
        num_images: in the data set.
        seed: of the shuffle.

    Returns:
        The sorted classes of each image, `num_images` entries; `()` is a clean image.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    defective = round(num_images * DEFECTIVE / IMAGES)
    counts = _quotas(round(defective * sum(PAIRS.values()) / DEFECTIVE))
    if num_images >= FLOOR_FROM:
        floor = max(1, min(round(FLOOR * defective), FLOOR_CAP))
        counts = {c: max(count, floor) for c, count in counts.items()} | {3: 0}
        counts[3] = round(defective * sum(PAIRS.values()) / DEFECTIVE) - sum(counts.values())
    # Images with more than one class pair a rarer one with what is there, mostly class 3, as they do in Severstal.
    rare = rng.permutation([c for c in (1, 2, 4) for _ in range(counts[c])]).tolist()
    extra = min(sum(counts.values()) - defective, len(rare))
    images = [[c] for c in rng.permutation(rare[extra:] + [3] * counts[3]).astype(int).tolist()]
    for i, c in enumerate(rare[:extra]):
        size = 2 if i % 200 == 199 else 1  # 2 of Severstal's images show three classes
        next(image for image in images if len(image) == size and c not in image).append(c)
    images += [[] for _ in range(num_images - len(images))]
    return [tuple(sorted(images[i])) for i in rng.permutation(num_images)]


def _quotas(pairs: int) -> dict[int, int]:
    shares = {c: pairs * count / sum(PAIRS.values()) for c, count in PAIRS.items()}
    counts = {c: int(share) for c, share in shares.items()}
    for c in sorted(shares, key=lambda c: counts[c] - shares[c])[: pairs - sum(counts.values())]:
        counts[c] += 1
    return counts


def write_synthetic(root: Path, num_images: int, seed: int = 0, size: tuple[int, int] = (256, 1600)) -> None:
    """Write a data set of drawn strips: `train_images/<id>.jpg` (grey), `train.csv` and the manifest `synthetic.json`.

    A finished set with the same settings is left alone, one with other settings is replaced. The set is drawn in a
    temporary folder beside `root` and moved in whole, so that a broken run leaves no half set behind.

    Args:
        root: folder of the data set.
        num_images: about half of them clean; see `allocate`.
        seed: not negative.
        size: (height, width) in pixels, each at least 64.

    Raises:
        UserError: where a setting is out of range or `root` holds anything else than a synthetic set.
    """
    if num_images < 1 or seed < 0 or min(size) < MIN_SIDE:
        raise UserError(
            f"a synthetic data set needs num_images of 1 or more, a seed of 0 or more and sides of {MIN_SIDE} pixels "
            f"or more; these are num_images={num_images}, seed={seed}, size={tuple(size)}"
        )
    root = Path(root).resolve()
    manifest = {"num_images": num_images, "seed": seed, "size": list(size), "version": VERSION}
    if _finished(root, manifest):
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}.", dir=root.parent) as scratch:
        fresh = Path(scratch) / "fresh"
        _write(fresh, manifest)
        if _finished(root, manifest):  # another process was faster
            return
        if root.exists():
            root.rename(Path(scratch) / "old")
        fresh.rename(root)


def _finished(root: Path, manifest: dict) -> bool:
    """Whether `root` holds that very set; False where it may be written."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / MANIFEST).read_text())
        if found.keys() == manifest.keys():
            return found == manifest
    except (OSError, ValueError, AttributeError):
        pass
    raise UserError(
        f"{root} holds something else than a synthetic data set, and is left as it is: name another folder for the "
        "synthetic set, or empty this one"
    )


def _write(root: Path, manifest: dict) -> None:
    seed, count = manifest["seed"], manifest["num_images"]
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    names = [f"{number:09x}.jpg" for number in sorted(rng.choice(16**9, count, replace=False).tolist())]
    (root / "train_images").mkdir(parents=True)
    rows = ["ImageId,ClassId,EncodedPixels"]
    strips = zip(names, allocate(count, seed), strict=True)
    for index, (name, classes) in enumerate(tqdm(strips, desc="Drawing synthetic strips", total=count)):
        image, mask = draw_strip(seed, index, classes, *manifest["size"])
        done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
        if not done:
            raise OSError(f"cannot encode {name}")
        (root / "train_images" / name).write_bytes(data.tobytes())
        rows += [f"{name},{c},{encode(mask == c)}" for c in classes]
    (root / "train.csv").write_text("\n".join(rows) + "\n")
    (root / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
