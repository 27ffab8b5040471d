"""Labelled images as pictures, small enough for a page that holds hundreds: a JPEG, and masks as PNGs over it.

True and predicted defects have the same colour where they are of the same class. They are told apart by form, which
every eye sees: what is predicted is tinted, with a full outline; what is true is not filled, so that the steel stays
visible in it, and its outline is dashed with black. Labels that somebody would take away are hatched.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from steel_defects.data.images import resize_grey
from steel_defects.page.content import Picture, Shown
from steel_defects.page.overlay import PALETTE

WIDTH = 640  # pixels at most: pictures are never enlarged

_TINT = 90  # of 255: opacity inside of what is predicted
_DASH = 4  # pixels, along an outline
_HATCH = 6  # pixels, from a line to the next along a row
_COLOURS = len(PALETTE)
_BLACK = 2 * _COLOURS + 1
# Palette of all layers: 0 transparent, then the tints, then the same colours opaque, then black.
_RGB = bytes(3) + bytes.fromhex("".join(PALETTE).replace("#", "")) * 2 + bytes(3)
_ALPHA = bytes([0] + [_TINT] * _COLOURS + [255] * (_COLOURS + 1))


def labelled_picture(
    image_id: str,
    image: np.ndarray,
    truth: np.ndarray,
    classes: Sequence[str],
    shown: Sequence[Shown] = (),
    width: int = WIDTH,
    caption: str = "",
) -> Picture:
    """A picture of an image and its labels.

    Args:
        image_id: the file's name.
        image: grey image, uint8 [H, W].
        truth: class indices, uint8 [H, W].
        classes: names of all classes of the data, in their order.
        shown: what is laid over it; the layers are those of `overlay_layer` with the same `width`.
        width: pixels; a wider image is shown smaller.
        caption: a few words after the names of its classes.
    """
    size = _shown_size(image.shape, width)
    return Picture(
        image_id=image_id,
        size=size,
        image=_jpeg(resize_grey(image, size)),
        truth=_png(_outlined(shrink_mask(truth, size))),
        classes=[name for c, name in enumerate(classes, start=1) if (truth == c).any()],
        shown=shown,
        caption=caption,
    )


def overlay_layer(mask: np.ndarray, width: int = WIDTH) -> str:
    """A second mask of an image as a layer of its picture, for `Shown.overlay`: what is predicted, or suggested.

    It is tinted in the colours of the classes, their outline opaque, all else transparent.

    Args:
        mask: class indices, uint8 [H, W], of the image's size.
        width: pixels, as for `labelled_picture`.

    Returns:
        Data URI of a PNG of the picture's size.
    """
    return _png(_tinted(shrink_mask(mask, _shown_size(mask.shape, width))))


def changed_overlay(marked: np.ndarray, suggested: np.ndarray, width: int = WIDTH) -> str:
    """A label and what is suggested in its place as a layer of the picture, for `Shown.overlay`.

    What is suggested is as in `overlay_layer`. What is marked is hatched in the colour of its class where nothing is
    suggested instead; where another class is, it is tinted in the colour of that one, without an outline that would
    hide that of the label.

    Args:
        marked: the label in question, class indices, uint8 [H, W], of the image's size.
        suggested: class indices that would be there instead, uint8 [H, W].
        width: pixels, as for `labelled_picture`.

    Returns:
        Data URI of a PNG of the picture's size.
    """
    size = _shown_size(marked.shape, width)
    marked, suggested = shrink_mask(marked, size), shrink_mask(suggested, size)
    layer = _tinted(suggested)
    layer[(marked > 0) & (marked != suggested) & (layer > _COLOURS)] = 0
    rows, columns = np.ogrid[: size[0], : size[1]]
    lines = (suggested == 0) & ((rows + columns) % _HATCH == 0)
    for c in _classes(marked):
        layer[lines & (marked == c)] = _opaque(c)
    return _png(layer)


def _shown_size(shape: tuple[int, int], width: int) -> tuple[int, int]:
    """(height, width) in pixels of the picture of an image of this shape."""
    height, full = shape
    return (max(1, round(height * width / full)), width) if full > width else (height, full)


def shrink_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Make a mask smaller without losing thin defects.

    A pixel gets a class wherever one of the pixels that fall into it has that class; the nearest neighbour would drop
    most of a hair-line scratch. Of several classes, the one with the fewest pixels in the image is taken: it is the
    one that could be lost.

    Args:
        mask: class indices, uint8 [H, W].
        size: (height, width) in pixels; no side is larger than the mask's.

    Returns:
        uint8 of that size.
    """
    if mask.shape == size:
        return mask
    small = np.zeros(size, np.uint8)
    pixels = np.bincount(mask.ravel())
    for c in np.argsort(-pixels, kind="stable").tolist():
        if c and pixels[c]:
            rows, columns = np.nonzero(mask == c)
            small[rows * size[0] // mask.shape[0], columns * size[1] // mask.shape[1]] = c
    return small


def _tinted(mask: np.ndarray) -> np.ndarray:
    """Places in the palette, uint8 [H, W]: the tint of each class, its outline opaque."""
    layer = np.zeros(mask.shape, np.uint8)
    for c in _classes(mask):
        inside = (mask == c).view(np.uint8)
        # Without the pixels that have one outside, or beyond the image, among their 8 neighbours.
        core = cv2.erode(inside, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        layer[inside > 0] = _opaque(c)
        layer[core > 0] = _opaque(c) - _COLOURS
    return layer


def _outlined(mask: np.ndarray) -> np.ndarray:
    """Places in the palette, uint8 [H, W]: outlines of one pixel, dashed in the colour of the class and black."""
    layer = np.zeros(mask.shape, np.uint8)
    for c in _classes(mask):
        # Along the contour, not by place: dashes are as long on a slanted edge, and a lone pixel has the colour.
        contours, _ = cv2.findContours((mask == c).view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        for contour in contours:
            columns, rows = contour[:, 0].T
            dark = np.arange(len(contour)) // _DASH % 2 == 1
            layer[rows, columns] = np.where(dark, _BLACK, _opaque(c))
    return layer


def _classes(mask: np.ndarray) -> list[int]:
    return [c for c in np.unique(mask).tolist() if c]


def _opaque(c: int) -> int:
    """Place of class c in the palette; that of its tint is as many places before as there are colours."""
    return 1 + _COLOURS + (c - 1) % _COLOURS


def _jpeg(image: np.ndarray) -> str:
    """Data URI of a grey image, uint8 [H, W], as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=70, optimize=True)
    return _uri(buffer, "jpeg")


def _png(layer: np.ndarray) -> str:
    """Data URI of a layer, places in the palette, uint8 [H, W], as PNG."""
    picture = Image.fromarray(layer)
    picture.putpalette(_RGB)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=_ALPHA, optimize=True)
    return _uri(buffer, "png")


def _uri(buffer: io.BytesIO, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
