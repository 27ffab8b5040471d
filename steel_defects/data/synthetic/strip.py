"""Draws one synthetic strip: steel, its edges, and the defects asked for, with labels as people draw them.

Every length below is in pixels of a strip of 256x1600 and is scaled along for other sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from steel_defects.data.synthetic import defects as kinds
from steel_defects.data.synthetic.defects import Part, noise

CLASSES = (1, 2, 3, 4)  # pits, streaks, scratches and scales, patches
MIN_SIDE = 64
# Area aimed at for a class in one image, and the spread of its logarithm. The masks come out somewhat larger or
# smaller; tuned so that the classes' shares of the whole mask area are the paper's (2.39, 0.51, 80, 17 %).
_AREA = {1: (4_500, 0.4), 2: (2_700, 0.35), 3: (30_000, 0.9), 4: (38_500, 0.6)}
_PAINT_ORDER = (4, 3, 1, 2)  # large first: the small ones find room more easily


def draw_strip(
    seed: int | tuple[int, ...], index: int, classes: Sequence[int], height: int = 256, width: int = 1600
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one strip. The same arguments draw the same picture.

    Args:
        seed: seed of the data set; not negative.
        index: number of the strip within the data set; not negative.
        classes: defects to draw, each in 1..4; none for clean steel.
        height: height in pixels, at least 64.
        width: width in pixels, at least 64.

    Returns:
        The picture, grey, uint8 [height, width], and its mask, uint8 [height, width]: 0 background, 1..4 the class.
        Each class asked for has pixels in the mask; none lies in the black margin beyond the strip's edge.
    """
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"a strip is at least {MIN_SIDE} pixels high and wide, not {height}x{width}")
    if unknown := set(classes) - set(CLASSES):
        raise ValueError(f"there are the classes 1 to 4, not {sorted(unknown)}")
    entropy = (seed,) if isinstance(seed, int) else tuple(seed)
    rng = np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(0, index)))
    left, right, light = _edges(rng, height, width)
    mask = np.zeros((height, width), np.uint8)
    strip = _Strip(rng, _surface(rng, height, width), mask, light > 0.2, left, right)
    for class_index in _PAINT_ORDER:
        if class_index in classes:
            _draw_class(strip, class_index)
    grain = rng.standard_normal((height, width), np.float32)
    image = strip.surface * light + rng.uniform(0.5, 4.5) + grain * 1.2
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

    def place(self, class_index: int, part: Part, slack: float, near: tuple[float, float] | None = None) -> None:
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
            best = min(best, (float(np.count_nonzero(around)), y, x))
            if not best[0]:
                break
        _, y, x = best
        box = np.s_[y : y + h, x : x + w]
        label = _outline(defect, max(1, round(slack * self.unit))) & (self.mask[box] == 0) & self.steel[box]
        self.mask[box][label] = class_index
        self.surface[box][label] *= gain[label]


def _surface(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    """Clean steel: brightness, float32 [h, w]."""
    u = np.sqrt(h * w / (256 * 1600))
    # Light: brighter towards the lower rim as on most real strips, uneven across the width.
    light = 1 + rng.uniform(0.05, 0.4) * np.linspace(-1, 1, h, dtype=np.float32)[:, None]
    light = light * (1 + 0.17 * noise(rng, 1, w, 1, w / 3))
    # Rolling leaves streaks along the height: some run through, others come and go.
    streaks = 0.018 * noise(rng, 1, w, 1, 3) + 0.03 * noise(rng, 1, w, 1, 14 * u) + 0.04 * noise(rng, 1, w, 1, 60 * u)
    texture = 1 + streaks + 0.03 * noise(rng, h, w, 90 * u, 4) + 0.025 * noise(rng, h, w, 110 * u, 90 * u)
    zones = np.clip(noise(rng, 1, w, 1, 150 * u), 0, 1)  # a finish that covers a part of the width only
    if rng.random() < 0.45:  # lighter islands, drawn out along the height
        islands = noise(rng, h, w, 30 * u, 6) + 0.6 * noise(rng, h, w, 8, 3) - 0.7
        texture += rng.uniform(0.1, 0.22) * zones * np.clip(4 * islands, 0, 1)
    if rng.random() < 0.3:  # ripples across the width
        texture += rng.uniform(0.03, 0.07) * (0.1 + zones[:, ::-1]) * noise(rng, h, w, 4, 70 * u)
    if rng.random() < 0.35:  # drying stains with a clear rim
        texture *= 1 - rng.uniform(0.04, 0.12) * np.clip(8 * noise(rng, h, w, 170 * u, 300 * u), 0, 1)
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
        u * rng.uniform(0.3, 1.2) * (noise(rng, h, 1, 2, 1) + 2 * noise(rng, h, 1, 60, 1)), -7 * u, 7 * u
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


# Kind of class 3: how often, largest area of one part, range of height over width, share of its box that is labelled.
_Kind = tuple[Callable[[np.random.Generator, int, int], Part], float, float, tuple[float, float], float]
_CLASS_3: tuple[_Kind, ...] = (
    (kinds.lines, 3, 25_000, (2, 14), 0.8),
    (kinds.scale_band, 3, 60_000, (1.1, 3), 0.9),
    (kinds.bright_band, 2, 40_000, (3, 8), 0.6),
    (kinds.scratch, 2, 9_000, (0.15, 0.5), 0.5),
    (kinds.spots, 3, 16_000, (0.8, 3), 0.75),
    (kinds.blotch, 2, 12_000, (1.5, 4), 0.7),
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
            strip.place(2, kinds.streak(rng, h, _fit(strip, share / h / 1.1, 16 * unit)), 2)
    elif class_index == 3:
        _draw_scratches_and_scales(strip, area)
    else:
        for share in _shares(rng, int(rng.integers(1, 4)), area):
            strip.place(4, kinds.patch(rng, *_box(strip, share / 0.7, rng.uniform(0.5, 1.6))), 4)
    if not (strip.mask == class_index).any():
        _force(strip, class_index)


def _draw_pits(strip: _Strip, area: float) -> None:
    rng = strip.rng
    centre = rng.uniform(0.3, 0.7) * strip.mask.shape[0], rng.uniform(strip.left, strip.right)
    for share in _shares(rng, int(rng.integers(5, 14)), area):
        strip.place(1, kinds.pit(rng, *_box(strip, share / 0.85, rng.uniform(0.8, 2.2))), 2, centre)


def _draw_scratches_and_scales(strip: _Strip, area: float) -> None:
    rng = strip.rng
    weights = np.array([kind[1] for kind in _CLASS_3])
    kinds_here = rng.choice(len(_CLASS_3), int(rng.integers(1, 3)), replace=False, p=weights / weights.sum())
    area_left = area
    while area_left > 0.1 * area:  # one strip shows one or two kinds, as a rule: what damaged it, did so again
        draw, _, largest, tall, filled = _CLASS_3[rng.choice(kinds_here)]
        share = min(area_left, rng.uniform(0.35, 1.0) * largest * strip.unit**2, area * rng.uniform(0.3, 1.0))
        share = max(share, 400 * strip.unit**2)
        strip.place(3, draw(rng, *_box(strip, share / filled, rng.uniform(*tall))), 3)
        area_left -= share


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
