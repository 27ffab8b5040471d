"""One image in numbers, against numpy, the eye, scipy's components, the real resize, and heat by brute force."""

from __future__ import annotations

import timeit

import numpy as np
import pytest
from scipy import ndimage

from steel_defects.data.images import decode_grey, read_grey, resize
from steel_defects.data.labels import Label
from steel_defects.data.rle import encode
from steel_defects.explore.measure import GRID, examine, fitting, measure_light

SIZES = [(40, 90), (64, 31), (17, 128), (5, 3), (1, 1), (1, 50)]
TARGETS = [(32, 32), (16, 48), (64, 160), (7, 200)]
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


def test_brightness_is_numpys():
    image = np.random.default_rng(0).integers(0, 256, (37, 91), dtype=np.uint8)
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
    image = decode_grey(data)
    calls = (lambda: measure_light(image)), (lambda: decode_grey(data))
    measuring, decoding = (min(timeit.repeat(call, number=1, repeat=30)) for call in calls)
    assert measuring < 0.5 * decoding


def spots(size: tuple[int, int], density: float, seed: int) -> np.ndarray:
    """Blots of a few pixels, bool; at least one."""
    rng = np.random.default_rng(seed)
    mask = ndimage.binary_dilation(rng.random(size) < density, iterations=int(rng.integers(1, 3)))
    mask[rng.integers(size[0]), rng.integers(size[1])] = True
    return mask


def labels_of(*masks: np.ndarray) -> dict[int, Label]:
    return {c: Label(encode(mask), row=c + 1) for c, mask in enumerate(masks, start=1)}


def segments_by_scipy(mask: np.ndarray, target: tuple[int, int]) -> list[tuple[int, ...]]:
    """area, x, y, width, height, pixels at the target size; sorted."""
    numbers, count = ndimage.label(mask, structure=np.ones((3, 3)))
    assert count < 256
    _, resized = resize(np.zeros(mask.shape, np.uint8), numbers.astype(np.uint8), target)
    found = []
    for k, (rows, columns) in enumerate(ndimage.find_objects(numbers), start=1):
        box = columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
        found.append((int((numbers == k).sum()), *box, int((resized == k).sum())))
    return sorted(found)


def heat_by_counting(mask: np.ndarray) -> np.ndarray:
    """Each pixel cut into as many pieces as there are cells, so that every cell holds whole pieces only."""
    rows, columns = (np.lcm(length, cells) for length, cells in zip(mask.shape, GRID, strict=True))
    pieces = np.kron(mask, np.ones((rows // mask.shape[0], columns // mask.shape[1])))
    pieces = pieces.reshape(GRID[0], rows // GRID[0], GRID[1], columns // GRID[1])
    return pieces.mean(axis=(1, 3))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("size", SIZES)
def test_segments_are_scipys_and_what_is_left_is_the_resizes(size, target):
    for seed, density in enumerate((0.002, 0.01, 0.03)):
        masks = [spots(size, density, seed), spots(size, density, seed + 100)]  # they overlap
        found = examine("a.png", labels_of(*masks), size, target)
        for c, (region, mask) in enumerate(zip(found.regions, masks, strict=True), start=1):
            segments = [s for s in found.segments if s.class_id == c]
            expected = segments_by_scipy(mask, target)
            assert sorted(s[2:] for s in segments) == expected
            _, resized = resize(np.zeros(size, np.uint8), mask.astype(np.uint8), target)
            assert region == (
                *("a.png", c, c + 1, mask.sum()),
                *(pytest.approx(100 * mask.mean()), len(expected), resized.sum()),
                *(sum(segment[-1] > 0 for segment in expected), not resized.any()),
            )


def test_a_strip_squeezed_to_a_square():
    size, target = (256, 1600), (256, 256)
    mask = spots(size, 0.0001, 5)
    found = examine("a.png", labels_of(mask), size, target)
    expected = segments_by_scipy(mask, target)
    assert sorted(s[2:] for s in found.segments) == expected
    assert min(segment[-1] for segment in expected) < max(segment[-1] for segment in expected)


def test_lines_between_those_that_are_taken_vanish():
    # OpenCV takes columns 3, 9, 15, … of 1600 for 256.
    kept, lost = np.zeros((2, 256, 1600), bool)
    kept[10:20, 9] = lost[10:20, 10:15] = lost[100, 30] = True
    found = examine("a.png", labels_of(kept, lost), (256, 1600), (256, 256))
    assert [(r.resized_px, r.resized_segments, r.vanished) for r in found.regions] == [(10, 1, False), (0, 0, True)]
    assert [s.resized_px for s in found.segments] == [10, 0, 0]


@pytest.mark.parametrize("size", [*SIZES, (256, 1600), (16, 64)])
def test_heat_is_the_covered_share_of_each_cell(size):
    masks = [spots(size, 0.01, 1), spots(size, 0.001, 2), np.ones(size, bool)]
    found = examine("a.png", labels_of(*masks), size, (32, 32))
    assert list(found.heat) == [1, 2, 3]
    for mask, heat in zip(masks, found.heat.values(), strict=True):
        assert heat.dtype == np.float64
        np.testing.assert_allclose(heat, heat_by_counting(mask), atol=1e-12)


def test_a_label_that_leaves_the_image_is_passed_over():
    labels = {2: Label("1 3", 7), 1: Label("95 3", 5)}
    found = examine("a.png", labels, (8, 12), (16, 16))
    assert [(r.class_id, r.row) for r in found.regions] == [(2, 7)]
    assert [s.class_id for s in found.segments] == [2]
    assert list(found.heat) == [2]
    assert list(fitting(labels, (8, 12))) == [2]
    assert list(fitting(labels, None)) == [1, 2]


def test_without_a_size_there_is_the_area_alone():
    found = examine("a.png", {3: Label("95 3 200 10", 5), 1: Label("1 1", 6)}, None, (16, 16))
    assert [(r.class_id, r.row, r.area_px) for r in found.regions] == [(1, 6, 1), (3, 5, 13)]
    assert all(value is None for region in found.regions for value in region[4:])
    assert not found.segments
    assert not found.heat


def test_a_clean_image_has_nothing():
    found = examine("a.png", {}, (8, 12), (16, 16))
    assert (found.regions, found.segments, found.heat) == ([], [], {})
