"""Areas, boxes, confidence and codes of defects, against scikit-image, pycocotools and the project's codec."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco
from skimage.measure import label, regionprops

from steel_defects.data import rle
from steel_defects.inference.defects import Defect, find_defects

CLASSES = ("pits", "streaks", "scratches", "patches")


def random_case(seed: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = (rng.integers(1, 5, shape) * (rng.random(shape) < 0.3)).astype(np.uint8)
    mask[: shape[0] // 2, : shape[1] // 2] = 3
    mask[:, -3:-1] = 2  # whole columns: runs that go on from foot to head
    mask[-1, -1] = 4
    return mask, rng.random(shape, np.float32)


CASES = [random_case(seed, shape) for seed, shape in enumerate([(20, 33), (33, 20), (8, 100), (64, 64), (6, 6)])]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_defects_agree_with_scikit_image(case):
    mask, confidence = CASES[case]
    _, defects = find_defects(mask, confidence, CLASSES)
    expected = []
    for c in range(1, 5):
        for region in regionprops(label(mask == c, connectivity=2), confidence):
            top, left, bottom, right = region.bbox
            expected.append((c, region.area, (left, top, right - left, bottom - top), region.intensity_mean))
    found = sorted(((d.class_id, d.area, d.box, d.confidence) for d in defects), key=lambda row: row[:3])
    expected.sort(key=lambda row: row[:3])
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    # Among equals in class, area and box (single pixels are told apart by their box) the order is free.
    assert sorted(row[3] for row in found) == pytest.approx(sorted(row[3] for row in expected), abs=6e-5)


@pytest.mark.parametrize("case", range(len(CASES)))
def test_codes_are_canonical(case):
    mask, confidence = CASES[case]
    codes, _ = find_defects(mask, confidence, CLASSES)
    assert codes == {c: rle.encode(mask == c) for c in range(1, 5) if (mask == c).any()}


@pytest.mark.parametrize("case", range(len(CASES)))
def test_counts_draw_the_defects(case):
    mask, confidence = CASES[case]
    height, width = mask.shape
    drawn = np.zeros_like(mask)
    for defect in find_defects(mask, confidence, CLASSES)[1]:
        assert all(count > 0 for count in defect.counts[1:])
        assert sum(defect.counts) == height * width
        code = coco.frPyObjects({"size": [height, width], "counts": defect.counts}, height, width)
        pixels = coco.decode(code).astype(bool)
        assert pixels.sum() == defect.area == coco.area(code)
        assert tuple(coco.toBbox(code).astype(int).tolist()) == defect.box
        assert label(pixels, connectivity=2).max() == 1
        assert not drawn[pixels].any()
        drawn[pixels] = defect.class_id
        assert defect.confidence == pytest.approx(confidence[pixels].mean(), abs=6e-5)
    np.testing.assert_array_equal(drawn, mask)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (4, 4)])
def test_clean_and_full(shape):
    sure = np.ones(shape, np.float32)
    assert find_defects(np.zeros(shape, np.uint8), sure, CLASSES) == ({}, [])
    codes, [defect] = find_defects(np.full(shape, 4, np.uint8), sure, CLASSES)
    pixels = shape[0] * shape[1]
    assert codes == {4: f"1 {pixels}"}
    assert defect == Defect(4, "patches", pixels, (0, 0, shape[1], shape[0]), 1.0, [0, pixels])


def test_values_are_plain():
    """Numpy's numbers would not go into JSON."""
    codes, defects = find_defects(*CASES[0], CLASSES)
    for defect in defects:
        numbers = [defect.class_id, defect.area, *defect.box, *defect.counts]
        assert all(type(number) is int for number in numbers)
        assert type(defect.confidence) is float
        assert defect.class_name == CLASSES[defect.class_id - 1]
    assert all(type(c) is int for c in codes)
