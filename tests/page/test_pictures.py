"""Pictures of labelled images: their size, and their layers, decoded by Pillow and compared pixel by pixel."""

from __future__ import annotations

import base64
import io
import math
from fractions import Fraction

import cv2
import numpy as np
import pytest
from PIL import Image

from steel_defects.page.content import Shown
from steel_defects.page.overlay import class_colour
from steel_defects.page.pictures import changed_overlay, labelled_picture, overlay_layer, shrink_mask

CLASSES = ["pit", "scratch", "patch", "rust"]


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


def rgba(uri: str) -> np.ndarray:
    return np.array(decoded(uri).convert("RGBA"))


def rgb(c: int) -> tuple[int, ...]:
    return tuple(bytes.fromhex(class_colour(c)[1:]))


def colours(pixels: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in pixels.reshape(-1, pixels.shape[-1]).tolist()}


def true_layer(mask: np.ndarray) -> str:
    return labelled_picture("one.jpg", np.full_like(mask, 90), mask, CLASSES).truth


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


def labelled(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A ramp of grey, with a patch to the left and a scratch of one column to the right."""
    image = np.broadcast_to(np.linspace(40, 220, shape[1]), shape).astype(np.uint8)
    mask = np.zeros(shape, np.uint8)
    mask[shape[0] // 4 : shape[0] // 2, shape[1] // 8 : shape[1] // 4] = 3
    mask[:, -shape[1] // 4] = 2
    return image, mask


@pytest.mark.parametrize(
    ("shape", "width", "size"),
    [
        ((200, 200), 640, (200, 200)),
        ((256, 1600), 640, (102, 640)),
        ((256, 1600), 400, (64, 400)),
        ((1000, 500), 640, (1000, 500)),
        ((2, 2000), 640, (1, 640)),
    ],
)
def test_all_layers_have_the_size_the_picture_is_shown_at(shape, width, size):
    image, mask = labelled(shape)
    picture = labelled_picture("one.jpg", image, mask, CLASSES, width=width)
    assert picture.size == size
    layers = [decoded(uri) for uri in (picture.truth, overlay_layer(mask, width), changed_overlay(mask, mask, width))]
    assert {(layer.format, layer.mode, layer.size) for layer in layers} == {("PNG", "P", size[::-1])}
    shown = decoded(picture.image)
    assert (shown.format, shown.mode, shown.size) == ("JPEG", "L", size[::-1])


def test_the_image_and_its_labels_are_those_given():
    image, mask = labelled((120, 160))
    picture = labelled_picture("one.jpg", image, mask, CLASSES)
    assert (picture.image_id, picture.shown, picture.caption) == ("one.jpg", (), "")
    assert picture.classes == ["scratch", "patch"]
    assert np.abs(np.array(decoded(picture.image), int) - image).mean() < 2
    shown = [Shown("missing label", overlay_layer(mask), score, {}) for score in (0.9, 0.2)]
    clean = labelled_picture("clean.jpg", image, np.zeros_like(mask), CLASSES, shown, caption="seen twice")
    assert (clean.classes, clean.shown, clean.caption) == ([], shown, "seen twice")


def test_what_is_predicted_is_tinted_in_its_colour_with_an_opaque_outline(mask):
    layer = rgba(overlay_layer(mask))
    alpha = layer[..., 3]
    assert ((alpha > 0) == (mask > 0)).all()
    for c in range(1, 5):
        assert colours(layer[mask == c][:, :3]) == {rgb(c)}
    outline = neighbours_differ(mask, eight=True) & (mask > 0)
    assert (alpha[outline] == 255).all()
    (tint,) = np.unique(alpha[(mask > 0) & ~outline])
    assert 60 < tint < 130


def test_what_is_true_is_an_outline_within_the_defect(mask):
    alpha = rgba(true_layer(mask))[..., 3]
    expected = neighbours_differ(mask, eight=False) & (mask > 0)
    assert set(np.unique(alpha)) == {0, 255}
    assert ((alpha == 255) == expected).all()


def test_a_true_outline_is_dashed_in_class_colour_and_black():
    mask = np.zeros((50, 80), np.uint8)
    mask[10:40, 20:60] = 3
    top = [tuple(pixel) for pixel in rgba(true_layer(mask))[10, 24:56, :3].tolist()]
    assert set(top) == {rgb(3), (0, 0, 0)}
    changes = [x for x in range(1, len(top)) if top[x] != top[x - 1]]
    assert set(np.diff(changes)) == {4}


def test_a_lone_true_pixel_has_its_colour():
    mask = np.zeros((20, 20), np.uint8)
    mask[7, 9] = 2
    layer = rgba(true_layer(mask))
    assert tuple(layer[7, 9]) == (*rgb(2), 255)
    assert np.count_nonzero(layer[..., 3]) == 1


@pytest.mark.parametrize("draw", [overlay_layer, true_layer])
def test_beyond_the_palette_colours_repeat_and_without_a_defect_there_are_none(draw):
    assert rgba(draw(np.full((1, 2), 8, np.uint8))).tolist() == [[[*rgb(1), 255]] * 2]
    assert not rgba(draw(np.zeros((30, 40), np.uint8)))[..., 3].any()


@pytest.mark.parametrize("size", [(102, 640), (256, 640), (100, 1600), (1, 1)])
def test_a_shrunk_mask_has_a_class_wherever_a_pixel_of_it_falls(size):
    mask = (np.random.default_rng(0).random((256, 1600)) < 0.02).astype(np.uint8) * 3
    expected = np.zeros(size, np.uint8)
    for y, x in zip(*np.nonzero(mask), strict=True):
        expected[math.floor(Fraction(int(y) * size[0], 256)), math.floor(Fraction(int(x) * size[1], 1600))] = 3
    assert (shrink_mask(mask, size) == expected).all()


@pytest.mark.parametrize(("large", "little"), [(0, 4), (1, 2), (2, 1)])
@pytest.mark.parametrize("seed", range(5))
def test_a_defect_of_one_pixel_survives_shrinking(large, little, seed):
    rng = np.random.default_rng(seed)
    mask = np.full((256, 1600), large, np.uint8)
    mask[rng.integers(256), rng.integers(1600)] = little
    small = shrink_mask(mask, (102, 640))
    assert np.count_nonzero(small == little) == 1
    assert np.count_nonzero(small == large) == small.size - 1


def test_a_thin_label_is_not_lost_where_the_picture_is_smaller():
    image, mask = labelled((256, 1600))
    column = (1600 - 400) * 640 // 1600
    for layer in (labelled_picture("one.jpg", image, mask, CLASSES).truth, overlay_layer(mask)):
        assert (rgba(layer)[:, column, 3] > 0).all()


def test_of_a_change_the_suggestion_is_as_predicted(mask):
    for marked in (np.zeros_like(mask), mask):
        assert changed_overlay(marked, mask) == overlay_layer(mask)


def test_a_mark_to_be_taken_away_is_hatched_in_its_colour(mask):
    layer = rgba(changed_overlay(mask, np.zeros_like(mask)))
    assert not layer[mask == 0].any()
    assert set(np.unique(layer[..., 3])) == {0, 255}
    for c in range(1, 5):
        assert colours(layer[(mask == c) & (layer[..., 3] > 0)][:, :3]) == {rgb(c)}
    full = rgba(changed_overlay(np.ones((60, 90), np.uint8), np.zeros((60, 90), np.uint8)))[..., 3] > 0
    assert full.mean() == pytest.approx(1 / 6, abs=0.01)
    assert (full[1:, :-1] == full[:-1, 1:]).all(), "lines run up and to the right"
    hatched = layer[..., 3] > 0
    assert (hatched == (full & (mask > 0))).all()


def test_a_mark_of_another_class_is_tinted_and_its_outline_stays_free():
    marked, suggested = np.zeros((2, 40, 60), np.uint8)
    marked[10:30, 10:50] = 1
    suggested[10:30, 10:30] = 2
    suggested[10:30, 30:55] = 1  # five columns beyond the mark
    layer = rgba(changed_overlay(marked, suggested))
    assert colours(layer[11:29, 11:29]) == {(*rgb(2), layer[20, 20, 3])}
    assert 0 < layer[20, 20, 3] < 255
    assert not layer[10, 10:30, 3].any(), "the label's outline below is seen"
    assert (layer[10, 31:55] == [*rgb(1), 255]).all()
    assert (layer[10:30, 54] == [*rgb(1), 255]).all()


@pytest.mark.parametrize("shape", [(120, 160), (256, 1600)])
def test_a_change_is_drawn_at_the_size_it_is_shown_at(shape):
    """The patch is to go, the scratch is to be a pit: at any size both are seen, and nothing else."""
    _, marked = labelled(shape)
    layer = rgba(changed_overlay(marked, (marked == 2).astype(np.uint8)))
    height, width = layer.shape[:2]
    column = (shape[1] - shape[1] // 4 - (shape[1] % 4 > 0)) * width // shape[1]
    patch = layer[height // 4 + 1 : height // 2 - 1, width // 8 + 1 : width // 4 - 1]
    assert 0.1 < (patch[..., 3] > 0).mean() < 0.25, "lines stay as far apart"
    assert colours(patch[patch[..., 3] > 0]) == {(*rgb(3), 255)}
    assert not layer[:, width // 2 - 9 : column - 1, 3].any()
