"""Layers of a picture, decoded by Pillow and compared pixel by pixel."""

import base64
import io
import math
from fractions import Fraction

import cv2
import numpy as np
import pytest
from PIL import Image

from steel_defects.page.layers import changed_layer, jpeg, predicted_layer, shrink_mask, true_layer
from steel_defects.page.overlay import class_colour


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


def rgba(uri: str) -> np.ndarray:
    return np.array(decoded(uri).convert("RGBA"))


def rgb(c: int) -> tuple[int, ...]:
    return tuple(bytes.fromhex(class_colour(c)[1:]))


def neighbours_differ(mask: np.ndarray, eight: bool) -> np.ndarray:
    """Where one of the 4 or 8 neighbours has another value; what lies beyond the image has none of the values."""
    padded = np.pad(mask.astype(int), 1, constant_values=-1)
    height, width = mask.shape
    steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy or dx) and (eight or not (dy and dx))]
    return np.any([padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] != mask for dy, dx in steps], axis=0)


@pytest.fixture
def mask() -> np.ndarray:
    """Blobs of four classes, holes and specks among them, some touching each other and the edges."""
    noise = np.random.default_rng(3).random((5, 60, 90)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(layer, (0, 0), 3) for layer in noise])
    mask = np.argmax(smooth, axis=0).astype(np.uint8)
    mask[::17, ::19] = 2
    return mask


def test_a_predicted_layer_is_transparent_exactly_where_nothing_is_predicted(mask):
    assert ((rgba(predicted_layer(mask))[..., 3] > 0) == (mask > 0)).all()


def test_a_predicted_layer_has_the_colours_of_the_classes(mask):
    layer = rgba(predicted_layer(mask))
    for c in range(1, 5):
        assert {tuple(pixel) for pixel in layer[mask == c][:, :3].tolist()} == {rgb(c)}


def test_a_predicted_layer_is_opaque_on_outlines_and_tinted_inside(mask):
    alpha = rgba(predicted_layer(mask))[..., 3]
    outline = neighbours_differ(mask, eight=True) & (mask > 0)
    assert (alpha[outline] == 255).all()
    inside = alpha[(mask > 0) & ~outline]
    assert len(inside)
    assert len(np.unique(inside)) == 1
    assert 60 < inside[0] < 130


def test_a_true_layer_is_an_outline_within_the_defect(mask):
    alpha = rgba(true_layer(mask))[..., 3]
    expected = neighbours_differ(mask, eight=False) & (mask > 0)
    assert set(np.unique(alpha)) == {0, 255}
    assert ((alpha == 255) == expected).all()


def test_a_true_outline_is_dashed_in_class_colour_and_black():
    mask = np.zeros((50, 80), np.uint8)
    mask[10:40, 20:60] = 3
    layer = rgba(true_layer(mask))
    top = [tuple(pixel) for pixel in layer[10, 24:56, :3].tolist()]
    assert set(top) == {rgb(3), (0, 0, 0)}
    changes = [x for x in range(1, len(top)) if top[x] != top[x - 1]]
    assert set(np.diff(changes)) == {4}


def test_a_lone_true_pixel_has_its_colour():
    mask = np.zeros((20, 20), np.uint8)
    mask[7, 9] = 2
    layer = rgba(true_layer(mask))
    assert tuple(layer[7, 9]) == (*rgb(2), 255)
    assert np.count_nonzero(layer[..., 3]) == 1


@pytest.mark.parametrize("draw", [predicted_layer, true_layer])
def test_beyond_the_palette_colours_repeat(draw):
    layer = rgba(draw(np.full((1, 2), 8, np.uint8)))
    assert layer.tolist() == [[[*rgb(1), 255]] * 2]


@pytest.mark.parametrize("draw", [predicted_layer, true_layer])
def test_a_layer_without_a_defect_is_transparent(draw):
    assert not rgba(draw(np.zeros((30, 40), np.uint8)))[..., 3].any()


def test_layers_are_palette_pngs(mask):
    for layer in (decoded(predicted_layer(mask)), decoded(true_layer(mask))):
        assert (layer.format, layer.mode, layer.size) == ("PNG", "P", (90, 60))


def test_the_image_is_a_grey_jpeg_close_to_it():
    image = np.tile(np.arange(200, dtype=np.uint8), (50, 1))
    shown = decoded(jpeg(image))
    assert (shown.format, shown.mode, shown.size) == ("JPEG", "L", (200, 50))
    assert np.abs(np.array(shown, int) - image).mean() < 2


@pytest.mark.parametrize("size", [(102, 640), (256, 640), (100, 1600), (1, 1)])
def test_a_shrunk_mask_has_a_class_wherever_a_pixel_of_it_falls(size):
    mask = (np.random.default_rng(0).random((256, 1600)) < 0.02).astype(np.uint8) * 3
    expected = np.zeros(size, np.uint8)
    for y, x in zip(*np.nonzero(mask), strict=True):
        expected[math.floor(Fraction(int(y) * size[0], 256)), math.floor(Fraction(int(x) * size[1], 1600))] = 3
    assert (shrink_mask(mask, size) == expected).all()


@pytest.mark.parametrize("seed", range(20))
def test_a_defect_of_one_pixel_survives_shrinking(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((256, 1600), np.uint8)
    mask[rng.integers(256), rng.integers(1600)] = 4
    small = shrink_mask(mask, (102, 640))
    assert np.count_nonzero(small) == 1
    assert small.max() == 4


@pytest.mark.parametrize(("large", "little"), [(1, 2), (2, 1)])
def test_a_small_defect_in_a_large_one_survives_shrinking(large, little):
    mask = np.full((256, 1600), large, np.uint8)
    mask[100, 701] = little
    assert np.count_nonzero(shrink_mask(mask, (102, 640)) == little) == 1


def test_a_filled_defect_stays_filled_when_it_shrinks():
    assert (shrink_mask(np.ones((256, 1600), np.uint8), (102, 640)) == 1).all()


def test_of_a_change_the_suggestion_is_as_predicted(mask):
    nothing = np.zeros_like(mask)
    assert (rgba(changed_layer(nothing, mask)) == rgba(predicted_layer(mask))).all()
    assert (rgba(changed_layer(mask, mask)) == rgba(predicted_layer(mask))).all()


def test_a_mark_to_be_taken_away_is_hatched_in_its_colour(mask):
    layer = rgba(changed_layer(mask, np.zeros_like(mask)))
    assert not layer[mask == 0].any()
    assert set(np.unique(layer[..., 3])) == {0, 255}
    for c in range(1, 5):
        drawn = layer[(mask == c) & (layer[..., 3] > 0)]
        assert {tuple(pixel) for pixel in drawn[:, :3].tolist()} == {rgb(c)}
    full = rgba(changed_layer(np.ones((60, 90), np.uint8), np.zeros((60, 90), np.uint8)))[..., 3] > 0
    assert full.mean() == pytest.approx(1 / 6, abs=0.01)
    assert (full[1:, :-1] == full[:-1, 1:]).all(), "lines run up and to the right"
    hatched = layer[..., 3] > 0
    assert (hatched == (full & (mask > 0))).all()


def test_a_mark_of_another_class_is_tinted_and_its_outline_stays_free():
    marked, suggested = np.zeros((2, 40, 60), np.uint8)
    marked[10:30, 10:50] = 1
    suggested[10:30, 10:30] = 2
    suggested[10:30, 30:55] = 1  # five columns beyond the mark
    layer = rgba(changed_layer(marked, suggested))
    assert {tuple(pixel) for pixel in layer[11:29, 11:29].reshape(-1, 4).tolist()} == {(*rgb(2), layer[20, 20, 3])}
    assert 0 < layer[20, 20, 3] < 255
    assert not layer[10, 10:30, 3].any(), "the label's outline below is seen"
    assert (layer[10, 31:55] == [*rgb(1), 255]).all()
    assert (layer[10:30, 54] == [*rgb(1), 255]).all()
