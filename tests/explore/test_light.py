"""Light and margins, against numpy and margins that were drawn or read off real strips."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from steel_defects.data.images import read_grey
from steel_defects.explore.light import measure_light

# Where the strip ends, read off the columns' grey values: the last column of black, or of the haze on it.
SEEN = {
    "000789191.jpg": (0, 17),
    "002fc4e19.jpg": (448, 0),
    "005b92582.jpg": (0, 489),
    "008ef3d74.jpg": (1360, 0),
    "00ac8372f.jpg": (316, 0),
    "00e0398ad.jpg": (0, 81),
    "00f6e702c.jpg": (860, 0),
    "0141c9bf3.jpg": (956, 0),
    "01661826d.jpg": (0, 135),
}


def steel(size=(64, 200), mean=90, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 15, size).clip(25, 255).astype(np.uint8)


def black(size: tuple[int, int], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 13, size, dtype=np.uint8)


@pytest.mark.parametrize("seed", range(3))
def test_brightness_is_numpys(seed):
    image = np.random.default_rng(seed).integers(0, 256, (37, 91), dtype=np.uint8)
    light = measure_light(image)
    assert light.brightness == pytest.approx(image.mean())
    assert light.contrast == pytest.approx(image.std())
    assert light.black_percent == pytest.approx(100 * (image <= 20).mean())
    assert light.margins == (0, 0, 0, 0)


@pytest.mark.parametrize(
    "margins", [(0, 0, 0, 0), (30, 0, 0, 0), (0, 7, 0, 0), (1, 2, 3, 4), (190, 0, 0, 0), (0, 0, 60, 0)]
)
def test_margins_as_drawn(margins):
    left, right, top, bottom = margins
    image = black((64, 200))
    inside = np.s_[top : 64 - bottom, left : 200 - right]
    image[inside] = steel()[inside]
    light = measure_light(image)
    assert light.margins == margins
    assert light.margins._fields == ("left", "right", "top", "bottom")
    assert light.black_percent == pytest.approx(100 * (1 - image[inside].size / image.size))


def test_a_glint_in_the_black_does_not_end_it_and_dark_spots_are_no_margin():
    image = steel()
    image[:, :40] = black((64, 40))
    image[5, 3] = image[60, 20] = 255
    image[10:50, 100:120] = 0
    assert measure_light(image).margins == (40, 0, 0, 0)


def test_an_image_without_light_is_all_margin():
    assert measure_light(black((30, 50))).margins == (50, 0, 30, 0)
    assert measure_light(black((30, 50))).black_percent == 100


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (90, 1)])
def test_slim_images(shape):
    light = measure_light(np.full(shape, 200, np.uint8))
    assert light == (200, 0, (0, 0, 0, 0), 0)


def test_real_strips_end_where_the_eye_sees_it(shared_data):
    paths = sorted((shared_data / "severstal_mini" / "train_images").iterdir())
    assert len(paths) == 19
    for path in paths:
        image = read_grey(path)
        left, right, top, bottom = measure_light(image).margins
        assert (left, right) == pytest.approx(SEEN.get(path.name, (0, 0)), abs=2), path.name
        assert (top, bottom) == (0, 0), path.name


def test_it_costs_little(shared_data):
    data = (shared_data / "severstal_mini" / "train_images" / "002fc4e19.jpg").read_bytes()
    encoded = np.frombuffer(data, np.uint8)
    image = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)

    def fastest(call) -> float:
        ticks = []
        for _ in range(30):
            start = cv2.getTickCount()
            call()
            ticks.append(cv2.getTickCount() - start)
        return min(ticks)

    assert fastest(lambda: measure_light(image)) < 0.5 * fastest(lambda: cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE))
