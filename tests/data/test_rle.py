"""The codec against pycocotools, against its own laws, and against every kind of malformed input."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from steel_defects.data.rle import RLEError, canonical, decode, encode, parse

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "severstal_mini" / "train.csv"
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in pycocotools

some_masks = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.integers(0, 1))
thin_masks = st.one_of(
    arrays(np.uint8, st.tuples(st.just(1), st.integers(1, 60)), elements=st.integers(0, 1)),
    arrays(np.uint8, st.tuples(st.integers(1, 60), st.just(1)), elements=st.integers(0, 1)),
)
even_masks = st.builds(np.full, array_shapes(min_dims=2, max_dims=2, max_side=40), st.integers(0, 1), st.just(np.uint8))
masks = st.one_of(some_masks, thin_masks, even_masks)


def to_coco(rle: str, height: int, width: int) -> dict:
    """COCO's uncompressed counts: lengths of background and foreground in turn, column by column."""
    numbers = list(map(int, rle.split()))
    counts, position = [], 0
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        counts += [start - 1 - position, length]
        position = start - 1 + length
    return {"size": [height, width], "counts": [*counts, height * width - position]}


def numbers_of(rle: str) -> np.ndarray:
    return np.array(rle.split(), dtype=np.int64).reshape(-1, 2)


@given(masks)
@settings(max_examples=150, deadline=None)
def test_decode_undoes_encode(mask):
    drawn = decode(encode(mask), *mask.shape)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, mask)


@given(masks)
@settings(max_examples=150, deadline=None)
def test_code_is_canonical(mask):
    runs = numbers_of(encode(mask))
    assert runs[:, 1].sum() == mask.sum()
    assert (runs >= 1).all()
    ends = runs.sum(axis=1)
    assert (runs[1:, 0] > ends[:-1]).all(), "runs touch, overlap or are not sorted"
    assert (ends - 1 <= mask.size).all()


@given(masks)
@settings(max_examples=100, deadline=None)
def test_agrees_with_pycocotools(mask):
    height, width = mask.shape
    theirs = coco.frPyObjects(to_coco(encode(mask), height, width), height, width)
    np.testing.assert_array_equal(coco.decode(theirs), mask)
    np.testing.assert_array_equal(decode(encode(coco.decode(theirs)), height, width), mask)


@given(masks, st.data())
@settings(max_examples=100, deadline=None)
def test_split_runs_become_canonical(mask, data):
    """A code may hold runs that touch; drawn and written again, they are joined."""
    split = []
    for start, length in numbers_of(encode(mask)).tolist():
        cut = data.draw(st.integers(0, length - 1))
        split += [start, cut, start + cut, length - cut] if cut else [start, length]
    code = " ".join(map(str, split))
    assert encode(decode(code, *mask.shape)) == encode(mask)
    assert canonical(code) == encode(mask)


def test_counts_down_the_columns():
    mask = np.zeros((3, 4), bool)
    mask[2, 1] = mask[0, 2] = True  # the last pixel of the second column, the first of the third
    assert encode(mask) == "6 2"
    assert encode(mask.T) == "3 1 10 1"


@pytest.mark.parametrize("empty", ["", " ", "\t \n"])
def test_blank_is_the_empty_mask(empty):
    assert parse(empty, (2, 2))[0].size == 0
    assert decode(empty, 2, 2).sum() == 0


def test_first_last_and_all_pixels():
    assert decode("1 1", 2, 3).tolist() == [[1, 0, 0], [0, 0, 0]]
    assert decode("6 1", 2, 3).tolist() == [[0, 0, 0], [0, 0, 1]]
    assert decode("1 6", 2, 3).tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("rle", "position", "words"),
    [
        ("1 3 10", 3, "odd count"),
        ("5", 1, "odd count"),
        ("1 3 1.5 2", 3, "not a whole number"),
        ("nan", 1, "not a whole number"),
        ("1 nan", 2, "not a whole number"),
        ("1_0 2", 1, "not a whole number"),
        ("1 １", 2, "not a whole number"),
        ("1 +2", 2, "not a whole number"),
        ("0x1 2", 1, "not a whole number"),
        ("1,3", 1, "not a whole number"),
        ("1 3 99999999999999999999999 1", 3, "not a whole number"),
        ("0 3", 1, "start 0 is below 1"),
        ("1 2 -4 3", 3, "^start -4 is below 1"),
        ("1 0", 2, "length 0 is below 1"),
        ("1 2 5 -1", 4, "^length -1 is below 1"),
        ("1 2 20 2", 4, "beyond the image of 4x5"),
        ("21 1", 2, "beyond the image of 4x5"),
        ("999999999999999999 999999999999999999", 2, "beyond the image"),
        ("10 2 3 1", 3, "not sorted"),
        ("1 1 5 1 3 1", 5, "not sorted"),
        ("3 4 5 1", 3, "overlap"),
        ("3 2 3 2", 3, "overlap"),
        ("1 1 3 9 4 1 2 1", 5, "overlap"),
    ],
)
def test_malformed_names_the_number(rle, position, words):
    for use in (lambda: parse(rle, (4, 5)), lambda: decode(rle, 4, 5)):
        with pytest.raises(RLEError, match=words) as caught:
            use()
        assert caught.value.position == position
        assert f"number {position} " in str(caught.value)


def test_touching_the_last_pixel_is_inside():
    assert decode("20 1", 4, 5)[3, 4] == 1


def test_without_a_size_any_end_is_accepted():
    starts, ends = parse("400000 10")
    assert (starts.tolist(), ends.tolist()) == ([399999], [400009])


@pytest.mark.parametrize("shape", [(4,), (1, 2, 2), ()])
def test_only_two_dimensions(shape):
    with pytest.raises(ValueError, match="two dimensions"):
        encode(np.zeros(shape))


@pytest.mark.skipif(not REAL.is_file(), reason=f"the real images are not there ({REAL})")
def test_real_labels_round_trip():
    with REAL.open(newline="") as file:
        codes = [row["EncodedPixels"] for row in csv.DictReader(file)]
    assert len(codes) == 19
    for code in codes:
        mask = decode(code, 256, 1600)
        assert encode(mask) == code
        theirs = coco.frPyObjects(to_coco(code, 256, 1600), 256, 1600)
        np.testing.assert_array_equal(coco.decode(theirs), mask)
