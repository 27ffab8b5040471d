"""Pictures of labelled images: their size, their layers, the names of their classes."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from steel_defects.page.content import Shown
from steel_defects.page.overlay import class_colour
from steel_defects.page.pictures import changed_overlay, labelled_picture, overlay_layer

CLASSES = ["pit", "scratch", "patch"]


def decoded(uri: str) -> np.ndarray:
    mode = "L" if uri.startswith("data:image/jpeg") else "RGBA"
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))).convert(mode))


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
    layers = [picture.image, picture.truth, overlay_layer(mask, width)]
    assert [decoded(layer).shape[:2] for layer in layers] == [size] * 3


def test_the_image_and_its_labels_are_those_given():
    image, mask = labelled((120, 160))
    picture = labelled_picture("one.jpg", image, mask, CLASSES)
    assert (picture.image_id, picture.shown, picture.caption) == ("one.jpg", (), "")
    assert picture.classes == ["scratch", "patch"]
    assert np.abs(decoded(picture.image).astype(int) - image).mean() < 3
    outline = decoded(picture.truth)
    assert not outline[mask == 0].any()
    assert outline[mask == 2][:, 3].all(), "a line of one pixel is all outline"
    assert not outline[40:50, 25:35].any(), "it is not filled"


def test_a_thin_label_is_not_lost_where_the_picture_is_smaller():
    image, mask = labelled((256, 1600))
    column = (1600 - 400) * 640 // 1600
    for layer in (labelled_picture("one.jpg", image, mask, CLASSES).truth, overlay_layer(mask)):
        assert (decoded(layer)[:, column, 3] > 0).all()


def test_an_overlay_is_tinted_in_the_colours_of_its_classes():
    _, mask = labelled((120, 160))
    layer = decoded(overlay_layer(mask))
    assert ((layer[..., 3] > 0) == (mask > 0)).all()
    for c in (2, 3):
        assert (layer[mask == c][:, :3] == [*bytes.fromhex(class_colour(c)[1:])]).all()
    assert 0 < layer[45, 30, 3] < 255, "the steel can be seen in it"


def test_a_clean_image_has_an_empty_layer_and_no_class():
    image, mask = labelled((64, 64))
    shown = [Shown("missing label", overlay_layer(mask), 0.9, {}), Shown("missing label", overlay_layer(mask), 0.2, {})]
    picture = labelled_picture("clean.jpg", image, np.zeros_like(mask), CLASSES, shown, caption="seen twice")
    assert picture.classes == []
    assert not decoded(picture.truth).any()
    assert (picture.shown, picture.caption) == (shown, "seen twice")


@pytest.mark.parametrize("shape", [(120, 160), (256, 1600)])
def test_a_change_is_a_layer_of_the_picture(shape):
    """The patch is to go, the scratch is to be a pit: at any size both are seen, and nothing else."""
    image, marked = labelled(shape)
    suggested = (marked == 2).astype(np.uint8)
    size = labelled_picture("one.jpg", image, marked, CLASSES).size
    layer = decoded(changed_overlay(marked, suggested))
    assert layer.shape[:2] == size
    column = (shape[1] - shape[1] // 4 - (shape[1] % 4 > 0)) * size[1] // shape[1]
    patch = layer[size[0] // 4 + 1 : size[0] // 2 - 1, size[1] // 8 + 1 : size[1] // 4 - 1]
    assert 0.1 < (patch[..., 3] > 0).mean() < 0.25
    assert {tuple(pixel) for pixel in patch[patch[..., 3] > 0].tolist()} == {(*bytes.fromhex(class_colour(3)[1:]), 255)}
    assert not layer[:, size[1] // 2 - 9 : column - 1, 3].any()
